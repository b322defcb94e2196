"""The same as `cssa doctor`: `python tools/doctor.py [options]`."""

from clone import run

if __name__ == '__main__':
    run('doctor')
