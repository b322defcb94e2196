"""The former name of `split.py`."""

from clone import run

if __name__ == '__main__':
    run('split')
