"""Tables with a row for each image and class, whose name ends the id of the image: ID_12cadc6af_epidural,1."""

from __future__ import annotations

from collections import Counter

import numpy as np

from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.tables.column_names import VALUES
from cssa_mm.datasets.readers.tables.columns import Roles
from cssa_mm.datasets.readers.tables.flags import meaning, read_flags
from cssa_mm.datasets.readers.tables.grid import Grid
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import plain_name

MOST_SUFFIXES = 200
MASKS = 'encodedpixels'


def parted_ids(grid: Grid, roles: Roles, options: ReadOptions, understanding: Understanding) -> LabelTable | None:
    """The table of rows 'ID_class,1': every image has a row for each class, whose name ends its id; None for others."""
    column = roles.labels[0]
    if len(roles.labels) > 1 or plain_name(column.name) not in VALUES or not column.is_coded:
        return None
    is_mask = plain_name(column.name) == MASKS
    if not is_mask and any(meaning(cell, options.unknown_word) is None for cell in column.values):
        return None
    parts = [path.rpartition('_') for path in roles.image.cells()]
    suffixes = Counter(suffix for _, _, suffix in parts)
    stems = Counter(stem for stem, _, _ in parts)
    if not 1 < len(suffixes) <= MOST_SUFFIXES or '' in stems:
        return None
    if len(set(parts)) != grid.count or len(stems) * len(suffixes) != grid.count:
        return None
    if is_mask:
        values = np.array([cell != '' for cell in column.cells()], dtype=np.int8)
    else:
        values = read_flags(grid, [column], options, understanding)[:, 0]
    names, images = sorted(suffixes), {stem: number for number, stem in enumerate(stems)}
    positions = {name: number for number, name in enumerate(names)}
    labels = np.full((len(images), len(names)), -1, dtype=np.int8)
    rows = np.array([images[stem] for stem, _, _ in parts])
    labels[rows, [positions[suffix] for _, _, suffix in parts]] = values
    first = np.full(len(images), grid.count)
    np.minimum.at(first, rows, np.arange(grid.count))
    understanding.taken = [column.name]
    understanding.facts['form'] = f"a row for each image and class, as in '{roles.image[0]}': {', '.join(names[:5])}"
    return LabelTable(
        class_names=names,
        paths=list(images),
        labels=labels,
        others=np.full(len(images), -1, dtype=np.int8),
        where=lambda row: grid.where(int(first[row])),
        understanding=understanding,
        is_closed=True,
    )


def refuse_masks(grid: Grid, roles: Roles) -> None:
    """DataError for a column of masks, whose run lengths are no classes."""
    column = roles.labels[0]
    if plain_name(column.name) == MASKS:
        raise DataError(
            f"{grid.source}: found masks in the column '{column.name}', expected class names, or 1 and 0; write a "
            f'column with 1 where a cell holds a mask, named as the class.'
        )
