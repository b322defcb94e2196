"""The same as `cssa check`: `python tools/check.py CONFIG [options]`."""

from clone import run

if __name__ == '__main__':
    run('check')
