"""The same as `cssa replay`: `python tools/replay.py FILE [options]`."""

from clone import run

if __name__ == '__main__':
    run('replay')
