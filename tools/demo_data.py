"""The same as `cssa demo-data`: `python tools/demo_data.py [options]`."""

from clone import run

if __name__ == '__main__':
    run('demo-data')
