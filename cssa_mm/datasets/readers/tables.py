"""Label tables as people keep them: CSV or TSV."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cssa_mm.datasets.readers.label_table import LabelTable, TableRow, table_of_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.names import plain_name

DELIMITERS = ',;\t|'


@dataclass(frozen=True)
class Columns:
    """How to read a table."""

    image_column: str
    label_column: str
    label_separators: str
    none_words: tuple[str, ...]
    delimiter: str | None


def is_table(source: LabelSource) -> bool:
    """Whether the extension is one of tables."""
    return source.suffix in ('.csv', '.tsv', '.txt')


def read_table(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read a CSV or TSV file with a header: one column of labels, or else one column a class.

    Raises:
        ConfigError: The delimiter is not a single character.
        DataError: A column is missing, or a line has too many cells or an invalid one.
    """
    columns = Columns(
        options.image_column or 'image',
        options.label_column or 'labels',
        options.label_separators or ';,|',
        tuple(word.casefold() for word in options.none_word),
        options.delimiter,
    )
    path = source.path
    lines = _lines(source.text, path, columns.delimiter)
    header = [name.strip() for name in next(lines, (1, []))[1]]
    _check_header(header, path, columns)
    image = header.index(columns.image_column)
    group = header.index(options.group_column) if options.group_column in header else None
    rows = []
    for number, cells in lines:
        where = f'{path}, line {number}'
        if len(cells) > len(header):
            raise DataError(
                f'{where}: found {len(cells)} cells, expected the {len(header)} of the header '
                f'({", ".join(header)}); separate labels by another character (cat;dog), or put them in quotes.'
            )
        cells = [cell.strip() for cell in cells] + [''] * (len(header) - len(cells))
        if not cells[image]:
            raise DataError(f"{where}: found no image name in the column '{columns.image_column}'; add it.")
        rows.append((where, cells[image], cells))
    understanding = Understanding(path)
    if columns.label_column in header:
        index = header.index(columns.label_column)
        understanding.taken = [columns.label_column]
        read = [TableRow(name, *_names_of(cells[index], columns), where) for where, name, cells in rows]
        table = table_of_rows(read, understanding)
        table.groups = None if group is None else [cells[group] for _, _, cells in rows]
        return table
    classes = _class_columns(header, options)
    understanding.taken = list(classes)
    read = [
        TableRow(name, {key: _cell(cells[index], key, where, columns) for key, index in classes.items()}, -1, where)
        for where, name, cells in rows
    ]
    table = table_of_rows(read, understanding, sorted(classes))
    table.is_closed, table.is_split = True, False
    table.groups = None if group is None else [cells[group] for _, _, cells in rows]
    return table


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
    if cell.casefold() in columns.none_words:
        return {}, 0
    names = re.split(f'[{re.escape(columns.label_separators)}]', cell) if columns.label_separators else [cell]
    return {name.strip(): 1 for name in names if name.strip()}, 0


def _class_columns(header: list[str], options: ReadOptions) -> dict[str, int]:
    """Class name -> position of its column."""
    image = options.image_column or 'image'
    found = {name: index for index, name in enumerate(header) if name and name not in (image, options.group_column)}
    wanted = {plain_name(name) for name in options.class_names}
    return {name: index for name, index in found.items() if not wanted or plain_name(name) in wanted}


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
