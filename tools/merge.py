"""The same as `cssa merge`: `python tools/merge.py ANSWERS... --into labels.csv [options]`."""

from clone import run

if __name__ == '__main__':
    run('merge')
