"""The same as `cssa evaluate`: `python tools/evaluate.py PREDICTIONS TRUTH [--out FILE]`."""

from clone import run

if __name__ == '__main__':
    run('evaluate')
