"""The same as `cssa export`: `python tools/export.py --onnx --checkpoint CHECKPOINT --out FILE`."""

from clone import run

if __name__ == '__main__':
    run('export')
