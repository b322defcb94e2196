"""The same as `cssa split`: `python tools/split.py CONFIG --labelled SHARE [options]`."""

from clone import run

if __name__ == '__main__':
    run('split')
