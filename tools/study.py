"""The same as `cssa study`: `python tools/study.py STUDY [options]`."""

from clone import run

if __name__ == '__main__':
    run('study')
