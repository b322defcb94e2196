"""labelme's JSON files, one an image."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.studio.studio_answers import Annotation, Task, table_of_tasks
from cssa_mm.datasets.readers.text import decode_text
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError

TOOL = 'labelme'
MARKS = (b'"shapes"', b'"imagePath"')
TRIED = 3  # files that are looked into


def is_labelme(source: LabelSource) -> bool:
    """Whether a folder holds JSON files of labelme's form."""
    return source.is_folder and any(_is_labelme_file(path) for path in _files(source.path)[:TRIED])


def read_labelme(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read the shapes' labels, or the flags of the images: where there are both, ``label_column`` says which.

    An image without a file is unlabelled; one whose file has no shape, or no flag that is set, shows none of the
    classes.

    Raises:
        DataError: A file is broken, or there are shapes and flags and none is chosen.
    """
    understanding = Understanding(source.path)
    images = source.images
    tasks = []
    for path in _files(source.path):
        content = _read(path)
        if content is None:
            understanding.left_out.setdefault('JSON files of another form', []).append(path)
            continue
        shapes = [str(shape.get('label', '')) for shape in content['shapes'] if isinstance(shape, Mapping)]
        flags = content.get('flags') or {}
        if not isinstance(flags, Mapping):
            raise DataError(f'{path}: found flags that are no object, expected names with true or false; label again.')
        answers = {'shapes': [(name,) for name in dict.fromkeys(shapes) if name]} if shapes else {}
        if flags:
            answers['flags'] = [(str(name),) for name, is_set in flags.items() if is_set]
        tasks.append(Task(_image_of(path, str(content['imagePath']), images), path, [Annotation(answers)]))
    return table_of_tasks(tasks, understanding, options, TOOL)


def _files(directory: str) -> list[str]:
    found = []
    for place, folders, names in os.walk(directory):
        folders.sort()
        found += [os.path.join(place, name) for name in sorted(names) if name.lower().endswith('.json')]
    return found


def _is_labelme_file(path: str) -> bool:
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except OSError:
        return False
    return all(mark in content for mark in MARKS)


def _read(path: str) -> dict[str, Any] | None:
    """The content of a file; None if it is valid JSON of another form."""
    with open(path, 'rb') as file:
        text = decode_text(file.read(), path)[0]
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(
            f'{path}: found no valid JSON ({error}), expected a file of labelme; label again or remove it.'
        ) from error
    is_own = isinstance(content, dict) and isinstance(content.get('shapes'), list) and content.get('imagePath')
    return content if is_own else None


def _image_of(path: str, written: str, images: ImageFolder) -> str:
    """The image that a file names, counted from the file, or as it is where none is there."""
    place = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(path)), written.replace('\\', '/')))
    if os.path.exists(place):
        return place
    beside = os.path.relpath(place, os.path.abspath(images.root)).replace(os.sep, '/')
    return beside if beside in images.image_ids else written.replace('\\', '/').split('../')[-1]
