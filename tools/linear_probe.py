"""The same as `cssa linear-probe`: `python tools/linear_probe.py CONFIG [options]`."""

from clone import run

if __name__ == '__main__':
    run('linear-probe')
