"""Labels of photos by an ONNX file of cssa_mm: python run_onnx.py model.onnx photo.jpg ... [--scores]

Needs onnxruntime and Pillow alone. A line for each photo: its labels with their scores; with --scores every class.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def pixels_of(path: str, steps: dict) -> np.ndarray:
    """A photo as the model takes it: uint8 (1, 3, H, W), RGB; `steps` is the preprocessing that the file names."""
    Image.init()
    opened = Image.open(path, formats=[name for name in Image.ID if name != 'EPS'])  # Pillow would run Ghostscript
    if opened.mode[0] in 'IF' or ';16' in str(getattr(opened, 'tile', '')) or opened.mode in ('La', 'RGBa'):
        raise ValueError('more than 8 bits a colour, or premultiplied: convert it to 8-bit RGB first')
    image = ImageOps.exif_transpose(opened)
    if image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info:
        if image.mode in ('1', 'L'):
            raise ValueError('grey with one transparent value: convert it to RGBA first')
        both = np.asarray(image.convert('RGBA')).astype(np.uint32)
        share, ground = both[:, :, 3:], np.array(steps['ground'], np.uint32)
        image = Image.fromarray(((both[:, :, :3] * share + ground * (255 - share) + 127) // 255).astype(np.uint8))
    image = image.convert('RGB')
    if steps['resize']:
        height, width = steps['resize']
        image = image.resize((width, height), Image.Resampling[steps['interpolation'].upper()])
    return np.asarray(image).transpose(2, 0, 1)[None]


def main(path: str, *photos: str) -> int:
    """Print the labels of photos; returns the exit status."""
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    metadata = session.get_modelmeta().custom_metadata_map
    if not {'class_names', 'thresholds', 'preprocessing'} <= metadata.keys():
        raise SystemExit(f'error: {path}: found no classes in its metadata, expected a file that cssa export wrote')
    facts = {key: json.loads(text) for key, text in metadata.items() if text[:1] in ('[', '{')}
    names, thresholds, steps = facts['class_names'], facts['thresholds'], facts['preprocessing']
    if steps['library'] != 'pillow':
        raise SystemExit(f'error: {path}: its images are resized by {steps["library"]}, this program has Pillow alone')
    status = 0
    for photo in photos:
        if photo == '--scores':
            continue
        try:
            scores = session.run(['scores'], {'image': pixels_of(photo, steps)})[0][0]
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            print(f'error: {photo}: {error}', file=sys.stderr)
            status = 1
            continue
        if None in thresholds:  # an untrained model: its best class
            chosen = [int(scores.argmax())]
        else:
            chosen = [index for index, threshold in enumerate(thresholds) if scores[index] >= threshold]
        shown = range(len(names)) if '--scores' in photos else chosen
        print(photo, ', '.join(f'{names[index]} {scores[index]:.6f}' for index in shown) or 'no label', sep=': ')
    return status


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else __doc__)
