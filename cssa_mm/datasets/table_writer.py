"""Our own label table, written so that it reads back the same: `labels.csv`, `test.csv` and `classes.txt`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.table import TableDataset
from cssa_mm.errors import CSSAError, DataError
from cssa_mm.files import write_text


class Table(NamedTuple):
    """What a table says.

    folder: of its n images.
    images: their names.
    labels: int8 (n, C), 1, 0 or -1 (unknown).
    others: columns that are no labels: name -> image -> cell.
    """

    folder: str
    images: Sequence[str]
    labels: np.ndarray
    others: Mapping[str, Mapping[str, str]] = MappingProxyType({})


def write_tables(root: Path, class_names: Sequence[str], tables: Mapping[str, Table]) -> str:
    """Write `classes.txt` and one table a part into a folder that holds the images, and read them back.

    A table has a row an image: class names with ';' between them, ``none``, or a blank where no label is known. Where
    some labels of an image are known and others are not, or names cannot be told from separators and words that mean
    something else, it has a column a class.

    Args:
        root: The folder.
        class_names: C names.
        tables: File name -> what it says.

    Returns:
        The form in words.

    Raises:
        DataError: No form reads back the same, as with two class names that differ in case only.
    """
    write_text(root / 'classes.txt', ''.join(f'{name}\n' for name in class_names))
    forms: dict[str, Callable[[Table, Sequence[str]], list[list[str]]]] = {
        'a column a class, 1, 0 and blanks': with_a_column_a_class,
        # Where nothing is 0, a blank may say either: this says that it is unknown.
        'a column a class, 1, 0 and ?': partial(with_a_column_a_class, unknown='?'),
    }
    if all(_is_whole(table.labels) for table in tables.values()):
        forms = {'class names with ; between them': with_a_column_of_names} | forms
    problem = accepted = ''
    for words, form in forms.items():
        for name, table in tables.items():
            write_text(root / name, _csv(form(table, class_names)))
        problem, questions = _difference(root, class_names, tables)
        if not problem and not questions:
            return words
        if not problem:
            accepted = accepted or words
    if not accepted:
        raise DataError(
            f'{next(iter(tables))}: found labels that a table of ours does not give back as they are ({problem}), '
            f'expected names of images and classes that a table can hold; rename them in the source.'
        )
    for name, table in tables.items():
        write_text(root / name, _csv(forms[accepted](table, class_names)))
    return accepted


def with_a_column_of_names(table: Table, class_names: Sequence[str]) -> list[list[str]]:
    """The rows image,labels of images that are known or unknown as a whole."""
    cells = []
    for row in table.labels:
        names = [class_names[int(index)] for index in np.flatnonzero(row == 1)]
        cells.append(['' if (row == UNKNOWN).all() else ';'.join(names) or 'none'])
    return _rows(table, ['labels'], cells)


def with_a_column_a_class(table: Table, class_names: Sequence[str], unknown: str = '') -> list[list[str]]:
    """The rows with a column a class: 1, 0, or a word for unknown."""
    words = {1: '1', 0: '0', UNKNOWN: unknown}
    return _rows(table, class_names, [[words[int(value)] for value in row] for row in table.labels])


def _rows(table: Table, names: Sequence[str], cells: Sequence[Sequence[str]]) -> list[list[str]]:
    """A header and a row an image, with the columns that are no labels behind the labels."""
    others = list(table.others.values())
    rows = [
        [image, *row, *(column.get(image, '') for column in others)]
        for image, row in zip(table.images, cells, strict=True)
    ]
    return [['image', *names, *table.others], *rows]


def _is_whole(labels: np.ndarray) -> bool:
    is_unknown = labels == UNKNOWN
    return bool((is_unknown.all(axis=1) | ~is_unknown.any(axis=1)).all())


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    return text.getvalue()


def _difference(root: Path, class_names: Sequence[str], tables: Mapping[str, Table]) -> tuple[str, list]:
    """How the written tables read back otherwise, '' where they do not, and the questions about them."""
    questions = []
    for name, (folder, images, labels, _) in tables.items():
        data = TableDataset(data_root=str(root), img_dir=folder, ann_file=name, include_unlisted=False, lazy_init=True)
        try:
            found = data.read_annotations()
        except CSSAError as error:
            return str(error), []
        if data.class_names != list(class_names):
            return f'the classes {data.class_names} instead of {list(class_names)}', []
        read = dict(zip(found.image_ids, found.labels, strict=True))
        for image, row in zip(images, labels, strict=True):
            if image not in read or not np.array_equal(read[image], row):
                return f"other labels of '{image}'" if image in read else f"no image '{image}'", []
        if len(read) > len(images):
            return f'{len(read)} images instead of {len(images)}', []
        questions += data.understanding.questions if data.understanding else []
    return '', questions
