"""The same as `cssa browse`: `python tools/browse.py CONFIG [options]`."""

from clone import run

if __name__ == '__main__':
    run('browse')
