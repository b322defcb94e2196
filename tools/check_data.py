"""The former name of `check.py`."""

from clone import run

if __name__ == '__main__':
    run('check')
