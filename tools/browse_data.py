"""The former name of `browse.py`."""

from clone import run

if __name__ == '__main__':
    run('browse')
