"""The same as `cssa explain`: `python tools/explain.py IMAGE... --checkpoint CHECKPOINT [options]`."""

from clone import run

if __name__ == '__main__':
    run('explain')
