"""The same as `cssa convert`: `python tools/convert.py CHECKPOINT [options]`."""

from clone import run

if __name__ == '__main__':
    run('convert')
