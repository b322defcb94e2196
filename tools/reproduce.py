"""The same as `cssa reproduce`; `bash tools/reproduce_table.sh` sets up the environment first."""

from clone import run

if __name__ == '__main__':
    run('reproduce')
