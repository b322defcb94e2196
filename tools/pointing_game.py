"""The same as `cssa pointing-game`: `python tools/pointing_game.py CONFIG CHECKPOINT [options]`."""

from clone import run

if __name__ == '__main__':
    run('pointing-game')
