"""The same as `cssa train`: `python tools/train.py CONFIG [options]`."""

from clone import run

if __name__ == '__main__':
    run('train')
