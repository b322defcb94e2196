"""YOLO's text files: a data.yaml, or a folder of images with labels beside."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace

from tqdm import tqdm

from cssa_mm.datasets.images.image_folder import ImageFolder, list_images
from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.matching.image_finder import ImageFinder
from cssa_mm.datasets.readers.matching.meant_images import images_meant, kept_images
from cssa_mm.datasets.readers.objects.unannotated import (
    LABEL,
    ask_about_empty_files,
    note_unannotated,
    note_unseen,
    once,
)
from cssa_mm.datasets.readers.objects.yolo_layout import Layout, label_paths, layout_of, yaml_in
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.text import decode_text
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError

LINE = re.compile(rb'\s*\d+(\.0+)?(\s+[-+.\deE]+){4,}\s*$')
YAML_KEYS = re.compile(rb'^(names|nc|train|val)\s*:', re.MULTILINE)
MANY = 1000  # files from which on progress is shown


def is_yolo(source: LabelSource) -> bool:
    """Whether a YAML file has YOLO's keys, or a folder holds one, or text files with boxes."""
    if source.is_folder:
        if (path := yaml_in(source.path)) is not None:
            with open(path, 'rb') as file:
                return len(set(YAML_KEYS.findall(file.read(2**16)))) > 1
        return any(_has_boxes(os.path.join(source.path, name)) for name in ('', 'labels', 'labels/train'))
    if source.suffix in ('.yaml', '.yml'):
        return len(set(YAML_KEYS.findall(source.head))) > 1
    return source.suffix == '.data' and b'names' in source.head


def _has_boxes(folder: str) -> bool:
    if not os.path.isdir(folder):
        return False
    for name in sorted(os.listdir(folder)):
        if name.lower().endswith('.txt') and name != 'classes.txt':
            try:
                with open(os.path.join(folder, name), 'rb') as file:
                    lines = file.read(4096).removeprefix(b'\xef\xbb\xbf').splitlines()[:1]
            except OSError:
                return False
            if lines:
                return LINE.match(lines[0]) is not None
    return False


def read_yolo(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read a part of a YOLO data set: the classes of an image are those of the lines of its text file.

    An empty file says 'none of the classes' (background, as Ultralytics has it); an image without a file is what
    ``options.unannotated`` says. ``options.subset`` chooses train (default), val or test.

    Raises:
        DataError: A path leads nowhere, or a line has another form.
    """
    layout = layout_of(source, options.subset)
    understanding = Understanding(source.path, facts=dict(layout.facts))
    folder = _images(source, layout)
    option = options.unannotated or 'unlabelled'
    rows, without, empty, shown = [], [], 0, set()
    image_ids = list(folder.image_ids)
    for image_id in tqdm(image_ids, 'Label files', disable=None if len(image_ids) > MANY else True):
        image = os.path.join(folder.root, folder.path_of(image_id))
        path = next((path for path in label_paths(image) if os.path.isfile(path)), None)
        if path is None:
            without.append(image_id)
            rows.append(TableRow(image_id, {}, LABEL.get(option, -1), image))
            continue
        numbers = _numbers_in(source.files.read_bytes(path, 'the YOLO labels of an image'), path, layout.names)
        empty += not numbers
        shown |= numbers
        rows.append(TableRow(image_id, {layout.names[number]: 1 for number in numbers}, 0, path))
    if len(without) == len(rows):
        looked = ', '.join(label_paths(os.path.join(folder.root, image_ids[0]))) if rows else 'no image found'
        raise DataError(
            f'{source.path}: found no text file with labels for any of {len(rows)} images, expected one an image '
            f'(looked for {looked}); correct the paths.'
        )
    _ask_about_orphans(understanding, layout, [row.where for row in rows])
    ask_about_empty_files(understanding, empty, len(rows) - len(without), 'label files')
    note_unannotated(understanding, without, len(rows), option, 'label file')
    names = once(layout.names[number] for number in sorted(shown))
    note_unseen(understanding, layout.names, names)
    if option == 'drop':
        gone = set(without)
        rows = [row for row in rows if row.path not in gone]
        folder = kept_images(folder, (image_id for image_id in image_ids if image_id not in gone))
    table = table_of_rows(rows, understanding, names)
    table.folder = folder
    return table


def _ask_about_orphans(understanding: Understanding, layout: Layout, used: Sequence[str]) -> None:
    """Ask about label files without an image: their images may lie under other names, and look unlabelled."""
    if not all(os.path.isdir(place) for place in layout.places):
        return  # a list of images leaves some out
    known = set(map(os.path.normpath, used))
    orphans = [
        path
        for folder in sorted({os.path.dirname(path) for path in known if path.endswith('.txt')})
        for path in (os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith('.txt'))
        if path not in known and _is_label(path)
    ]
    if orphans:
        understanding.questions.append(
            Question(
                'labels_without_image',
                f'{len(orphans)} label files have no image of their name, such as {orphans[0]}, and are left out',
                'add the images, rename the files, or remove them',
            )
        )


def _is_label(path: str) -> bool:
    with open(path, 'rb') as file:
        return LINE.match(file.read(4096).removeprefix(b'\xef\xbb\xbf').split(b'\n')[0]) is not None


def _images(source: LabelSource, layout: Layout) -> ImageFolder:
    """The images of all places together; ids count from the data root, or from what holds all of them."""
    root = source.files.data_root or '.'
    directories = [os.path.dirname(place) if os.path.isfile(place) else place for place in layout.places]
    whole = os.path.commonpath([os.path.abspath(path) for path in (root, layout.directory, *directories)])
    if whole != os.path.abspath(root):
        root = whole
    image_ids: dict = {}
    for place in layout.places:
        is_list = os.path.isfile(place)
        listed = list_images(
            source.files.backend(root), root, os.path.relpath(layout.directory or '.' if is_list else place, root)
        )
        wanted = _listed(source, place, listed) if is_list else listed.image_ids
        image_ids |= {image_id: listed.image_ids[image_id] for image_id in wanted}
    return replace(listed, prefix='', image_ids=dict(sorted(image_ids.items())))


def _listed(source: LabelSource, path: str, folder: ImageFolder) -> list[str]:
    text = decode_text(source.files.read_bytes(path, 'a list of images'), path)[0]
    finder = ImageFinder(folder)
    image_ids = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            found = images_meant(line.strip(), finder)
            if len(found) != 1:
                raise DataError(
                    f"{path}, line {number}: found '{line.strip()}', which is {' or '.join(found[:3]) or 'no image'} "
                    f"of '{folder.root}', expected one image; correct the path."
                )
            image_ids.append(found[0])
    return image_ids


def _numbers_in(content: bytes, path: str, names: list[str]) -> set[int]:
    numbers = set()
    for line, text in enumerate(decode_text(content, path)[0].splitlines(), 1):
        cells = text.split()
        if not cells:
            continue
        where = f'{path}, line {line}'
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            values = []
        if len(values) < 5 or not values[0].is_integer():
            raise DataError(
                f"{where}: found '{text.strip()[:60]}', expected the number of a class and a box or polygon; "
                'correct the line.'
            )
        if len(values) == 6:
            raise DataError(
                f'{where}: found 6 numbers, as of predictions with a confidence, expected class, x, y, width, height; '
                'give labels that people made or checked.'
            )
        if not 0 <= values[0] < len(names):
            raise DataError(
                f'{where}: found class {cells[0]}, expected a number from 0 to {len(names) - 1}, as there are '
                f'{len(names)} names; correct the line or the names.'
            )
        numbers.add(int(values[0]))
    return numbers
