"""The same as `cssa quickstart`; `bash tools/quickstart.sh` sets up the environment first."""

from clone import run

if __name__ == '__main__':
    run('quickstart')
