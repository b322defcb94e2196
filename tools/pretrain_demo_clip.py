"""The former name of `demo_clip.py`."""

from clone import run

if __name__ == '__main__':
    run('demo-clip')
