"""Label tables as people keep them: CSV or TSV, JSON of mmpretrain, one folder a class."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cssa_mm.datasets.class_index import ClassIndex
from cssa_mm.datasets.image_folder import ImageFolder
from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.names import plain_name

DELIMITERS = ',;\t|'


class TableRow(NamedTuple):
    """What a table says about one image.

    ``labels`` holds 1, 0 or -1 (unknown) by class name, ``others`` the same for every class that it does not name;
    messages name ``where``.
    """

    path: str
    labels: Mapping[str, int]
    others: int
    where: str

    def to_array(self, classes: ClassIndex) -> np.ndarray:
        """Labels int8 (C,); a DataError names an unknown class and the nearest known one."""
        labels = np.full(len(classes.class_names), self.others, dtype=np.int8)
        for name, value in self.labels.items():
            labels[classes.find(name, self.where)] = value
        return labels


def as_written(path: str, folder: ImageFolder) -> str:
    """The normalised path with forward slashes, whether or not it leads to an image of the folder."""
    return posixpath.normpath(path.replace('\\', '/'))


class LabelTable(NamedTuple):
    """The class names that a table shows, its rows, and how the path of a row leads to an image of a folder."""

    class_names: list[str]
    rows: list[TableRow]
    find_image: Callable[[str, ImageFolder], str] = as_written


@dataclass(frozen=True)
class Columns:
    """How to read a CSV or TSV file; the keys of :class:`~cssa_mm.datasets.table.TableDataset`."""

    image_column: str
    label_column: str
    label_separators: str
    none_word: str
    delimiter: str | None


def read_csv(text: str, source: str, columns: Columns, known: ClassIndex | None = None) -> LabelTable:
    """Read a CSV or TSV file with a header: one column of labels, or else one column a class.

    Args:
        text: Content of the file.
        source: Path of the file, for messages.
        columns: Names of the columns, and what separates them.
        known: The classes, if they are known; each of them needs a column then, and other columns are ignored.

    Raises:
        ConfigError: The delimiter is not a single character.
        DataError: A column is missing, or a line has too many cells or an invalid one.
    """
    lines = _lines(text, source, columns.delimiter)
    header = [name.strip() for name in next(lines, (1, []))[1]]
    _check_header(header, source, columns)
    image = header.index(columns.image_column)
    rows = []
    for number, cells in lines:
        where = f'{source}, line {number}'
        if len(cells) > len(header):
            raise DataError(
                f'{where}: found {len(cells)} cells, expected the {len(header)} of the header '
                f'({", ".join(header)}); separate labels by another character (cat;dog), or put them in quotes.'
            )
        cells = [cell.strip() for cell in cells] + [''] * (len(header) - len(cells))
        if not cells[image]:
            raise DataError(f"{where}: found no image name in the column '{columns.image_column}'; add it.")
        rows.append((where, cells[image], cells))
    if columns.label_column in header:
        index = header.index(columns.label_column)
        read = [TableRow(path, *_names_of(cells[index], columns), where) for where, path, cells in rows]
        return LabelTable(collect_names(name for row in read for name in row.labels), read)
    classes = _class_columns(header, source, columns, known)
    return LabelTable(
        sorted(classes),
        [
            TableRow(
                path, {name: _cell(cells[index], name, where, columns) for name, index in classes.items()}, -1, where
            )
            for where, path, cells in rows
        ],
    )


def read_mmpretrain(content: Any, source: str) -> LabelTable:
    """Read mmpretrain's multi-label form, ``metainfo.classes`` and ``data_list`` of ``img_path`` and ``gt_label``.

    An entry whose ``gt_label`` is missing or null is unlabelled; an empty list says 'none of the classes'.

    Raises:
        DataError: the content has another form.
    """
    try:
        names = [str(name) for name in content['metainfo']['classes']]
        entries = [(str(item['img_path']), item.get('gt_label')) for item in content['data_list']]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{source}: found no usable {error}, expected mmpretrain's form {{'metainfo': {{'classes': [...]}}, "
            f"'data_list': [{{'img_path': ..., 'gt_label': [...]}}]}}, or a Label Studio export; write it so."
        ) from error
    rows = []
    for number, (path, found) in enumerate(entries):
        where = f'{source}, data_list[{number}]'
        indices = [found] if isinstance(found, int) else found or []
        if not all(isinstance(index, int) and 0 <= index < len(names) for index in indices):
            raise DataError(
                f'{where}: found gt_label {found}, expected numbers from 0 to {len(names) - 1}; correct it.'
            )
        rows.append(TableRow(path, {names[index]: 1 for index in indices}, -1 if found is None else 0, where))
    return LabelTable(names, rows)


def read_folders(paths: Sequence[str], prefix: str, source: str, none_word: str) -> LabelTable:
    """Read a folder for each class: ``cat/1.jpg`` shows a cat and nothing else.

    Args:
        paths: Images below the directory, each with ``prefix``; those directly in it have no row, that is no label.
        prefix: What the paths start with, not the name of a class.
        source: The directory, for messages.
        none_word: Name of the folder of images without any class.
    """
    rows = []
    for path in paths:
        folder, slash, _ = path.removeprefix(prefix).partition('/')
        if slash:
            is_none = folder.casefold() == none_word.casefold()
            rows.append(TableRow(path, {} if is_none else {folder: 1}, 0, f'{source}, folder {folder}'))
    return LabelTable(collect_names(name for row in rows for name in row.labels), rows)


def collect_names(names: Iterable[str]) -> list[str]:
    """Sorted class names, each in its most frequent spelling: 'Cat' and 'cat' are one class, as everywhere."""
    spellings: dict[str, Counter] = {}
    for name in names:
        spellings.setdefault(plain_name(name), Counter())[name] += 1
    return sorted(min(counts, key=lambda name: (-counts[name], name)) for counts in spellings.values())


def _lines(text: str, source: str, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each line that is not empty."""
    header = next((line for line in text.splitlines() if line.strip()), '')
    delimiter = delimiter or _sniff(header)
    try:
        reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True, strict=True)
    except TypeError as error:
        raise ConfigError(f'delimiter: found {delimiter!r}, expected one character, such as , or ;') from error
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(
            f'{source}, line {reader.line_num}: found no valid CSV ({error}), expected a table with quotes that '
            f'close; correct the line.'
        ) from error


def _sniff(header: str) -> str:
    try:
        return csv.Sniffer().sniff(header, delimiters=DELIMITERS).delimiter
    except csv.Error:
        return ','


def _check_header(header: list[str], source: str, columns: Columns) -> None:
    found = ', '.join(f"'{name}'" for name in header) or 'nothing'
    joined = len(header) == 1 and re.search(f'[{DELIMITERS}]', header[0])
    if joined:
        raise DataError(
            f'{source}: found the one column {found} with the delimiter {columns.delimiter!r}, expected columns as '
            f"'{columns.image_column}'; the delimiter looks wrong: set delimiter={joined.group()!r}, or leave it out."
        )
    if columns.image_column not in header:
        raise DataError(
            f"{source}: found the columns {found}, expected one called '{columns.image_column}' with the images."
            f'{nearest(columns.image_column, header)} Correct the header line or set image_column.'
        )
    if len(header) == 1:
        raise DataError(
            f"{source}: found no column but '{header[0]}', expected one called '{columns.label_column}', or one for "
            f'each class; add it or set label_column.'
        )
    doubled = [name for name, count in Counter(header).items() if count > 1]
    if doubled:
        raise DataError(f"{source}: found the column '{doubled[0]}' twice, expected each once; remove one.")


def _names_of(cell: str, columns: Columns) -> tuple[dict[str, int], int]:
    """Labels by name and label of the other classes, of a cell with class names."""
    if not cell:
        return {}, -1
    if cell.casefold() == columns.none_word.casefold():
        return {}, 0
    names = re.split(f'[{re.escape(columns.label_separators)}]', cell) if columns.label_separators else [cell]
    return {name.strip(): 1 for name in names if name.strip()}, 0


def _class_columns(header: list[str], source: str, columns: Columns, known: ClassIndex | None) -> dict[str, int]:
    """Class name -> position of its column."""
    found = {name: index for index, name in enumerate(header) if name and name != columns.image_column}
    if known is None:
        return found
    known.check_complete(list(found), source)
    wanted = {plain_name(name) for name in known.class_names}
    return {name: index for name, index in found.items() if plain_name(name) in wanted}


def _cell(cell: str, column: str, where: str, columns: Columns) -> int:
    try:
        value = float(cell) if cell else -1.0  # pandas writes 1.0 where a column has blanks
    except ValueError:
        value = None
    if value not in (1, 0, -1):
        raise DataError(
            f"{where}: found '{cell}' in the column '{column}', expected 1, 0, or blank for unknown, as the table has "
            f"no column '{columns.label_column}' and so one for each class; correct the cell, or set "
            f"label_column='{column}' if it holds class names, or class_names if it is no class."
        )
    return int(value)
