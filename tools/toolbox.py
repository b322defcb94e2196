"""The same as `cssa toolbox`: `python tools/toolbox.py visualization/browse_dataset CONFIG [options]`."""

from clone import run

if __name__ == '__main__':
    run('toolbox')
