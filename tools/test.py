"""The same as `cssa test`: `python tools/test.py CONFIG CHECKPOINT [options]`."""

from clone import run

if __name__ == '__main__':
    run('test')
