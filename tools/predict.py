"""The same as `cssa predict`: `python tools/predict.py IMAGES --checkpoint CHECKPOINT --out FOLDER [options]`."""

from clone import run

if __name__ == '__main__':
    run('predict')
