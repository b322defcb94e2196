"""The same as `cssa suggest`: `python tools/suggest.py IMAGES --out FOLDER [options]`."""

from clone import run

if __name__ == '__main__':
    run('suggest')
