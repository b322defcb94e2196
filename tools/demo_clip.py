"""The same as `cssa demo-clip`: `python tools/demo_clip.py [options]`."""

from clone import run

if __name__ == '__main__':
    run('demo-clip')
