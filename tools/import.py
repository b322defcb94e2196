"""The same as `cssa import`: `python tools/import.py SOURCE --out photos [options]`."""

from clone import run

if __name__ == '__main__':
    run('import')
