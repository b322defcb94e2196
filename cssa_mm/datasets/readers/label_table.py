"""A label table: what a label file says about each image, in columns, whatever its format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cssa_mm.datasets.class_index import ClassIndex
from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import one_form, plain_name

UNKNOWN = -1
SPELLINGS = 'spellings'  # the kind of question about one class in several spellings


class TableRow(NamedTuple):
    """What a file says about one image, or one part of it where several rows name the same image.

    ``labels`` holds 1, 0 or -1 (unknown) by class name, ``others`` the same for every class that it does not name;
    messages name ``where``.
    """

    path: str
    labels: Mapping[str, int]
    others: int
    where: str


@dataclass
class LabelTable:
    """n rows, each of which says something about an image; rows of one image are joined later.

    Attributes:
        class_names: The C classes that the file shows or declares.
        paths: The n image paths, as written.
        labels: int8 (n, C), 1, 0 or -1 (unknown).
        others: int8 (n,), the label of every class that the file does not name.
        where: The place of a row, for messages: 'labels.csv, line 7'.
        is_closed: The file declares its classes, a column each: a class that it lacks is an error, and columns that are
            not wanted are left. Otherwise a class that is not wanted is an error.
        is_split: Several rows of one image belong together, as in a table with a row for each label. Otherwise they
            must say the same.
        folder: The images that rows can mean, in the formats that know; None: those of the data set's ``img_dir``.
        understanding: How the file was read.
        groups: The group of each row (a video, a patient, a burst), '' for none; None where the file has no column
            ``group_column``.
    """

    class_names: list[str]
    paths: Sequence[str]
    labels: np.ndarray
    others: np.ndarray
    where: Callable[[int], str]
    understanding: Understanding
    is_closed: bool = False
    is_split: bool = True
    folder: ImageFolder | None = None
    groups: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def labels_of(self, classes: ClassIndex, help_text: str = '') -> np.ndarray:
        """Labels int8 (n, C) in the order of ``classes``.

        Raises:
            DataError: The table shows a class that is not wanted, or a closed one lacks a class.
        """
        source = self.understanding.source
        if self.is_closed:
            classes.check_complete(self.class_names, source)
        result = np.empty((len(self), len(classes.class_names)), dtype=np.int8)
        result[:] = self.others[:, None]
        known = {plain_name(name) for name in classes.class_names}
        unwanted: list[tuple[int, str]] = []  # the first row that shows a class that is not wanted, and its name
        for column, name in enumerate(self.class_names):
            if plain_name(name) in known:
                result[:, classes.find(name, source)] = self.labels[:, column]
            elif not self.is_closed:
                shown = np.flatnonzero(self.labels[:, column] == 1)
                if len(shown):  # else it is declared, but shown by no image
                    unwanted.append((int(shown[0]), name))
        if unwanted:
            (row, first), *others = sorted(unwanted)
            more = ', '.join(f"'{name}'" for _, name in others[:10]) + (', ...' if len(others) > 10 else '')
            also = f' Found, too: {more}.' if others else ''
            try:
                classes.find(first, self.where(row))
            except DataError as error:
                raise DataError(f'{error}{also}{help_text}') from error
        return result


def table_of_rows(
    rows: Sequence[TableRow],
    understanding: Understanding,
    class_names: Sequence[str] | None = None,
) -> LabelTable:
    """The columns of some rows, for the formats that are read row by row.

    Args:
        rows: n rows.
        understanding: How they were read.
        class_names: The classes that the file declares; by default those that the rows name, sorted.
    """
    if class_names is None:
        spelled = Counter(name for row in rows for name in row.labels)
        class_names = collect_names(spelled)
        understanding.questions += questions_of_spellings(spelled)
    names = list(class_names)
    columns = {plain_name(name): index for index, name in enumerate(names)}
    others = np.array([row.others for row in rows], dtype=np.int8)
    labels = np.repeat(others[:, None], len(names), axis=1)
    for index, row in enumerate(rows):
        for name, value in row.labels.items():
            labels[index, columns[plain_name(name)]] = value
    return LabelTable(
        class_names=names,
        paths=[row.path for row in rows],
        labels=labels,
        others=others,
        where=lambda index: rows[index].where,
        understanding=understanding,
    )


def collect_names(names: Iterable[str]) -> list[str]:
    """Sorted class names, each in its most frequent spelling: 'Cat' and 'cat' are one class, as everywhere."""
    return sorted(counts[0] for counts in _spellings(names))


def questions_of_spellings(names: Iterable[str]) -> list[Question]:
    """The question about class names that one file writes in several ways, and that are read as one class."""
    groups = [group for group in _spellings(names) if len(group) > 1]
    if not groups:
        return []
    shown = ', '.join(' and '.join(f"'{name}'" for name in group[:4]) for group in groups[:3])
    more = f' and {len(groups) - 3} more groups' if len(groups) > 3 else ''
    return [
        Question(
            SPELLINGS,
            f"the class names {shown}{more} differ only in case, blanks, '_' or '-' and are read as one class",
            'write them in one way, or list the classes in classes.txt',
        )
    ]


def _spellings(names: Iterable[str]) -> list[list[str]]:
    """The spellings of each class, the most frequent first."""
    spellings: dict[str, Counter] = {}
    for name, count in Counter(names).items():
        spellings.setdefault(plain_name(name), Counter())[one_form(name)] += count
    return [sorted(counts, key=lambda name: (-counts[name], name)) for counts in spellings.values()]
