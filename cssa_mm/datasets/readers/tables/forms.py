"""Label tables as people keep them: a column of class names, a column for each class, or a row for each label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.matching.groups import one_group_each
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.tables.annotators import ask_about_annotators
from cssa_mm.datasets.readers.tables.codes import with_names_of_codes
from cssa_mm.datasets.readers.tables.column_names import ANNOTATORS, IMAGE_ENDINGS
from cssa_mm.datasets.readers.tables.columns import Roles
from cssa_mm.datasets.readers.tables.delimited import read_delimited
from cssa_mm.datasets.readers.tables.flags import read_flags
from cssa_mm.datasets.readers.tables.grid import Column, Grid
from cssa_mm.datasets.readers.tables.label_cells import Shown, read_label_cells
from cssa_mm.datasets.readers.tables.label_columns import find_roles, refuse_single_flag
from cssa_mm.datasets.readers.tables.long_tables import join_images, keep_subset, with_values
from cssa_mm.datasets.readers.tables.parted_ids import parted_ids, refuse_masks
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import plain_name

SUFFIXES = ('.csv', '.tsv', '.txt', '.tab', '.lst', '.list')


def is_table(source: LabelSource) -> bool:
    """Whether the extension is one of tables."""
    return source.suffix in SUFFIXES


def read_table(source: LabelSource, options: ReadOptions) -> LabelTable:
    """Read a CSV, TSV or text table.

    Raises:
        ConfigError: An option does not fit the table.
        DataError: The table cannot be read, or in two ways.
    """
    understanding = Understanding(source.path)
    return table_of_grid(read_delimited(source, options, understanding), options, understanding)


def table_of_grid(grid: Grid, options: ReadOptions, understanding: Understanding) -> LabelTable:
    """The label table of rows and columns, wherever they come from.

    Args:
        grid: The n rows.
        options: The keys of the data set; None is found by content, on whole columns.
        understanding: Gets what was found.

    Raises:
        ConfigError: An option does not fit the table.
        DataError: The table cannot be read, or in two ways.
    """
    if not grid.columns:
        raise DataError(f'{grid.source}: found 0 rows and no label in any, expected a table with image,labels.')
    roles = find_roles(grid, options, understanding)
    if roles.split is not None:
        keep_subset(grid, roles.split, options, understanding)
    _drop_remarks(grid, roles.image, understanding)
    _refuse_blank_images(grid, roles.image)
    understanding.facts['rows'] = f'{grid.count:,}'
    understanding.facts['image column'] = roles.image.name or 'the first without a name'
    table = _table_of_roles(grid, roles, options, understanding)
    groups = next((column for column in grid.columns if column.name and column.name == options.group_column), None)
    if groups is not None:
        group_of = one_group_each(roles.image.cells(), groups.cells(), table.understanding.source)
        table.groups = [group_of.get(path, '') for path in table.paths]
    grid.columns.clear()  # the places of rows alone are needed from here on
    return table


def _table_of_roles(grid: Grid, roles: Roles, options: ReadOptions, understanding: Understanding) -> LabelTable:
    if roles.classes:
        return _closed_table(grid, roles, options, understanding)
    parted = parted_ids(grid, roles, options, understanding)
    if parted is not None:
        return parted
    refuse_masks(grid, roles)
    refuse_single_flag(grid, roles, options)
    return _open_table(grid, roles, options, understanding)


def _closed_table(grid: Grid, roles: Roles, options: ReadOptions, understanding: Understanding) -> LabelTable:
    """The table of one column a class."""
    columns = sorted(roles.classes, key=lambda column: column.name)
    understanding.taken = [column.name for column in columns]
    understanding.facts['form'] = f'a column for each of {len(columns)} classes'
    labels = read_flags(grid, columns, options, understanding)
    names = with_names_of_codes(grid, options, understanding, [column.name for column in columns])
    return LabelTable(
        class_names=names,
        paths=roles.image.cells(),
        labels=labels,
        others=np.full(grid.count, -1, dtype=np.int8),
        where=grid.where,
        understanding=understanding,
        is_closed=True,
        is_split=False,
    )


def _open_table(grid: Grid, roles: Roles, options: ReadOptions, understanding: Understanding) -> LabelTable:
    """The table of class names in cells, a row an image or several."""
    understanding.taken = [column.name or 'the cells after the image' for column in roles.labels][:1]
    if grid.has_header:
        understanding.taken = [column.name for column in roles.labels]
    paths = roles.image.cells()
    images = _distinct(paths)
    is_long = len(images) < grid.count
    shown = read_label_cells(grid, roles.labels, options, understanding, is_long)
    if roles.value is not None:
        shown = with_values(grid, roles.value, shown, options, understanding, is_long)
    if is_long and not any(plain_name(name) in ANNOTATORS for name in options.ignore_columns):
        ask_about_annotators(grid, roles, shown, understanding)
    _compare_rivals(grid, roles, shown, options, understanding)
    understanding.facts['form'] = f'class names in {", ".join(understanding.taken)}'
    return join_images(grid, paths, images, shown, roles, options, understanding)


def _compare_rivals(grid: Grid, roles: Roles, shown: Shown, options: ReadOptions, understanding: Understanding) -> None:
    """Columns of yes or no beside class names say the same, or are asked about."""
    if len(roles.rivals) < 2 or options.label_column is not None:
        return
    classes = {plain_name(name): index for index, name in enumerate(shown.class_names)}
    named = [column for column in roles.rivals if plain_name(column.name) in classes]
    first = roles.labels[0].name
    if named:
        labels = np.repeat(shown.others[:, None], len(classes), axis=1)
        labels[shown.rows, shown.classes] = shown.values
        flags = read_flags(grid, named, options, Understanding(grid.source))
        differ = int((flags != labels[:, [classes[plain_name(column.name)] for column in named]]).any(axis=1).sum())
        if not differ:
            understanding.facts['also'] = f"{len(named)} columns of yes or no say the same as '{first}'"
            return
    names = ', '.join(f"'{column.name}'" for column in roles.rivals[:3])
    contrary = f', and contradict it in {differ:,} rows' if named else ''
    understanding.questions.append(
        Question(
            'two_label_forms',
            f"the column '{first}' holds labels, and {len(roles.rivals)} columns ({names}, ...) hold yes or "
            f"no{contrary}; '{first}' is read",
            f"set label_column='{first}' to confirm it, or ignore_columns='{first}' to read the others",
        )
    )


def _distinct(texts: list[str]) -> list[str]:
    """The distinct ones of some texts, in their order; the list itself where all are."""
    hashes = np.sort(np.fromiter(map(hash, texts), np.int64, len(texts)))  # a dict of a million texts takes longer
    return texts if (hashes[1:] != hashes[:-1]).all() else list(dict.fromkeys(texts))


def _drop_remarks(grid: Grid, image: Column, understanding: Understanding) -> None:
    """Leave out rows that start with # and name no image."""
    if not grid.may_have_remarks:
        return
    paths = image.cells()
    remarks = [
        row for row, path in enumerate(paths) if path.startswith('#') and not path.lower().endswith(IMAGE_ENDINGS)
    ]
    if image is grid.columns[0] and 0 < len(remarks) < len(paths) and _are_images(paths):
        understanding.facts['remarks'] = f'{len(remarks)} rows that start with #, the first in {grid.place(remarks[0])}'
        grid.keep(np.setdiff1d(np.arange(grid.count), remarks))


def _are_images(paths: Sequence[str]) -> bool:
    """Whether all paths but the remarks are images by their names, as far as a sample tells."""
    sample = [path for path in paths[:2000] if not path.startswith('#')]
    return sum(path.lower().endswith(IMAGE_ENDINGS) for path in sample) * 2 > len(sample)


def _refuse_blank_images(grid: Grid, image: Column) -> None:
    row = image.first('')
    if row >= 0:
        name = f"in the column '{image.name}'" if image.name else 'in the row'
        raise DataError(f'{grid.where(row)}: found no image name {name}; add it, or remove the row.')
