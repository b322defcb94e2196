"""The same as `cssa report`: `python tools/report.py WORK_DIR [WORK_DIR ...] [options]`."""

from clone import run

if __name__ == '__main__':
    run('report')
