"""The columns of a text table that hold no label, such as the photographer: what a table written anew must keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.tables.delimited import read_delimited
from cssa_mm.datasets.readers.understanding import Understanding


class OtherColumns(NamedTuple):
    """Columns that are left when labels are read.

    cells: column -> image id -> its cell; blank cells are not listed.
    lost: columns of which something is not in `cells`, and why.
    """

    cells: dict[str, dict[str, str]]
    lost: dict[str, str]


def other_columns(
    source: LabelSource, options: ReadOptions, table: LabelTable, image_ids: Mapping[str, str]
) -> OtherColumns:
    """The cells that were left when a text table was read.

    Args:
        source: the file.
        options: with which it was read.
        table: what was read.
        image_ids: path as written -> image id.

    Raises:
        DataError: it cannot be read.
    """
    columns = read_delimited(source, options, Understanding(source.path)).columns
    name = table.understanding.facts['image column']
    images = next((column for column in columns if column.name == name), columns[0])
    rows = [(row, image_ids[cell]) for row, cell in enumerate(images.cells()) if cell in image_ids]
    cells: dict[str, dict[str, str]] = {}
    lost: dict[str, str] = {}
    for column in (column for column in columns if column is not images):
        if column.name not in table.understanding.left:
            continue
        found = cells.setdefault(column.name, {})
        for row, image_id in rows:
            if (cell := column[row]) and found.setdefault(image_id, cell) != cell:
                lost[column.name] = 'a photo has several values; the first is kept'
    lost |= {name: 'it has no name' for name in table.understanding.left if name not in cells}
    return OtherColumns(cells, lost)
