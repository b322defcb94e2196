"""The former name of `demo_data.py`."""

from clone import run

if __name__ == '__main__':
    run('demo-data')
