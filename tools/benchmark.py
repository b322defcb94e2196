"""The same as `cssa benchmark`: `python tools/benchmark.py [--rows ROW ...] [options]`."""

from clone import run

if __name__ == '__main__':
    run('benchmark')
