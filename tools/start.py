"""The same as `cssa start`: `python tools/start.py PHOTOS [options]`."""

from clone import run

if __name__ == '__main__':
    run('start')
