"""Runs in another Python, which has Datumaro: reads a data set and writes what it found as JSON.

`PYTHON datumaro_script.py SOURCE FORMAT OUT`; FORMAT '' finds it. This file imports nothing of cssa_mm. What goes wrong
is written as ``{"error": ...}``: Datumaro and its importers raise what they like.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections import Counter
from typing import Any

# They take any folder of images or any table, and know no classes.
WITHOUT_LABELS = ('image_dir', 'image_zip', 'tabular', 'video_frames', 'video_keyframes', 'coco_image_info')


def read(source: str, name: str) -> dict[str, Any]:
    """What Datumaro finds in a folder.

    Returns:
        ``missing`` where there is no Datumaro; ``error`` and, where it is one of format, ``formats``; or ``version``,
        ``format``, ``classes``, ``left`` (kinds of annotations without a class and their numbers) and ``items``, each
        with ``path`` (null where the image lies in no file), ``subset``, and ``positives`` and ``negatives`` by name.
    """
    try:
        version = importlib.import_module('datumaro').__version__
    except ImportError as error:
        return dict(missing=_line(error))
    components = importlib.import_module('datumaro.components.environment')
    known = components.Environment()
    if not name:
        found = [str(name) for name in known.detect_dataset(source) if name not in WITHOUT_LABELS]
        if len(found) != 1:
            return dict(error='several' if found else 'unknown', formats=found or sorted(known.importers))
        name = found[0]
    if not known.is_format_known(name):
        return dict(error='no such format', formats=sorted(known.importers))
    dataset = importlib.import_module('datumaro').Dataset.import_from(source, name)
    categories = importlib.import_module('datumaro.components.annotation').AnnotationType.label
    classes = [label.name for label in dataset.categories().get(categories, ())]
    left: Counter = Counter()
    items = []
    for item in dataset:
        positives, negatives = set(), set()
        for annotation in item.annotations:
            label = getattr(annotation, 'label', None)
            if label is None:
                left[annotation.type.name] += 1
            # Open Images: somebody has looked, and the class is not there.
            elif name == 'open_images' and annotation.attributes.get('score') == 0:
                negatives.add(classes[label])
            else:
                positives.add(classes[label])
        path = _file_of(getattr(item.media, 'path', None))
        names = dict(positives=sorted(positives), negatives=sorted(negatives - positives))
        items.append(dict(path=path, subset=item.subset, **names))
    return dict(version=version, format=name, classes=classes, left=left, items=items)


def _file_of(path: str | None) -> str | None:
    # Some lists name images without their extension.
    for end in ('', '.jpg', '.jpeg', '.png', '.JPEG', '.JPG'):
        if path and os.path.isfile(path + end):
            return path + end
    return path or None


def _line(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    text = f'{type(error).__name__}: {" ".join(str(error).split())}'
    return f'{text} ({_line(cause)})' if cause else text


def main() -> None:
    """Read the data set that the arguments name."""
    source, name, out = sys.argv[1:]
    try:
        found = read(source, name)
    except Exception as error:
        found = dict(error=_line(error))
    with open(out, 'w', encoding='utf-8') as file:
        json.dump(found, file)


if __name__ == '__main__':
    main()
