"""The same as `cssa pseudo-labels`: `python tools/pseudo_labels.py WORK_DIR [options]`."""

from clone import run

if __name__ == '__main__':
    run('pseudo-labels')
