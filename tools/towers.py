"""The same as `cssa towers`: `python tools/towers.py [PATTERN] [options]`."""

from clone import run

if __name__ == '__main__':
    run('towers')
