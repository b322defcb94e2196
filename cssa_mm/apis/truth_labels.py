"""True labels of any form that can be read, for images and classes that are known by name alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cssa_mm.datasets.class_words import read_class_words
from cssa_mm.datasets.discovery import LocalFiles, discover, subsets_of
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.readers import read_labels
from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.matching.image_finder import ImageFinder
from cssa_mm.datasets.readers.matching.joining import images_of, join_rows
from cssa_mm.datasets.readers.matching.meant_images import find_meant
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.text import decode_text
from cssa_mm.errors import DataError
from cssa_mm.names import one_form, plain_name

CLASS_FILES = ('classes.csv', 'classes.txt')


class Truth(NamedTuple):
    """True labels of some of n images and C classes.

    labels: int8 (n, C), 1, 0 or -1 (unknown).
    source: the file.
    unmatched: images of the truth that are none of the n.
    other_classes: classes that its images show and that are none of the C.
    unnamed_classes: those of the C that it does not tell; their cells are unknown.
    """

    labels: np.ndarray
    source: str
    unmatched: list[str]
    other_classes: list[str]
    unnamed_classes: list[str]


def read_truth(path: str | os.PathLike, images: Sequence[str], class_names: Sequence[str]) -> Truth:
    """Read labels and match their images and classes by name.

    Paths lead to images as everywhere: as they are, or by their end, where the folder tells. A class that the truth
    neither shows nor declares (in its header, its own list of classes, or `classes.txt` beside it) is unknown.

    Args:
        path: a label file, or a folder that holds one: `test.csv` and the like before `labels.csv`.
        images: names of the n images.
        class_names: the C classes.

    Raises:
        DataError: there are no labels, they cannot be read, or a path fits several images.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f'{path}: found nothing there, expected true labels: a label file, or a folder that holds one.')
    table, declared = _read(path)
    named = {plain_name(name) for name in (*table.class_names, *declared)}
    unnamed = [name for name in class_names if plain_name(name) not in named]
    values, others = labels_for(table, class_names, declared)
    folder = ImageFolder(f'predictions://{path.name}', '', {one_form(image): image for image in images})
    rows, unmatched = matched_rows(table, folder)
    labels = np.full((len(images), len(class_names)), UNKNOWN, np.int8)
    if rows:
        part = part_of(table, rows)
        index = {one_form(image): number for number, image in enumerate(images)}
        for image_id, known in join_rows(part, images_of(part, folder), values[rows]).items():
            labels[index[image_id]] = known
    return Truth(labels, table.understanding.source, unmatched, others, unnamed)


def labels_for(
    table: LabelTable, class_names: Sequence[str], declared: Sequence[str] = ()
) -> tuple[np.ndarray, list[str]]:
    """Labels int8 (n, C) of a table for classes of another list, and those of its classes that this lacks and it shows.

    A class of `declared` that the table does not name has the value that the table says of all others: usually 0.
    """
    columns = {plain_name(name): column for column, name in enumerate(table.class_names)}
    is_declared = {plain_name(name) for name in declared}
    result = np.full((len(table), len(class_names)), UNKNOWN, np.int8)
    for number, name in enumerate(class_names):
        column = columns.get(plain_name(name))
        if column is not None:
            result[:, number] = table.labels[:, column]
        elif plain_name(name) in is_declared:
            result[:, number] = table.others
    wanted = {plain_name(name) for name in class_names}
    shown = (table.labels == 1).any(axis=0)
    left = [name for name, is_shown in zip(table.class_names, shown, strict=True) if is_shown]
    return result, [name for name in left if plain_name(name) not in wanted]


def classes_beside(path: Path) -> list[str]:
    """The classes of `classes.csv` or `classes.txt` in the folder of a label file, or in it; none without."""
    folder = path if path.is_dir() else path.parent
    found = next((folder / name for name in CLASS_FILES if (folder / name).is_file()), None)
    if found is None:
        return []
    return list(read_class_words(decode_text(found.read_bytes(), str(found))[0], str(found)) or ())


def _read(path: Path) -> tuple[LabelTable, list[str]]:
    if path.is_dir():
        parts = discover(str(path))
        chosen = dict(next(parts[part] for part in ('test', 'val', 'train') if part in parts))
        root, file = path, os.path.normpath(path / chosen['ann_file'])
    else:
        chosen = {}
        root, file = path.parent, str(path)
        if subsets := subsets_of(file):
            chosen = dict(subset=next(subsets[part] for part in ('test', 'val', 'train') if part in subsets))
    declared = classes_beside(root)
    options = ReadOptions(class_names=tuple(declared), unannotated='negative', subset=chosen.get('subset'))
    table = read_labels(LabelSource(LocalFiles(str(root)), file, chosen.get('img_dir')), options)
    return table, declared


def part_of(table: LabelTable, rows: Sequence[int]) -> LabelTable:
    """Some rows of a table."""
    return replace(
        table,
        paths=[table.paths[row] for row in rows],
        labels=table.labels[rows],
        others=table.others[rows],
        where=lambda row: table.where(rows[row]),
        groups=None,
    )


def matched_rows(table: LabelTable, folder: ImageFolder) -> tuple[list[int], list[str]]:
    """The rows of a table that mean one of the images, or may mean several, and the paths of the others."""
    finder = ImageFinder(folder)
    found = {path: find_meant(path, finder) for path in dict.fromkeys(table.paths) if path not in folder.image_ids}
    is_sure = {
        path: each.image_id is not None and not each.is_open or bool(each.others) for path, each in found.items()
    }
    if len(found) == len(set(table.paths)) and not any(is_sure.values()):  # all of them are of another place
        is_sure = {path: each.image_id is not None for path, each in found.items()}
    rows = [row for row, path in enumerate(table.paths) if is_sure.get(path, True)]
    return rows, [path for path, sure in is_sure.items() if not sure]
