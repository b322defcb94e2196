"""Numbers that stand for classes: positions in a list of names, and vectors of 1 and 0."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.tables.grid import Grid
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError

CODE = re.compile(r'\d{1,18}(\.0+)?')  # more digits are no place in a list
VECTOR = {'1': 1, '0': 0, '-1': -1, '1.0': 1, '0.0': 0, '-1.0': -1, '1.': 1, '0.': 0}


def with_names_of_codes(
    grid: Grid, options: ReadOptions, understanding: Understanding, names: Sequence[str]
) -> list[str]:
    """The names of some labels, which may all be positions in ``class_names``, counted from 0.

    Raises:
        DataError: One is no position.
    """
    if not names or not all(CODE.fullmatch(name) for name in names):
        return list(names)
    codes = [int(float(name)) for name in names]
    known = options.class_names
    if not known or any(CODE.fullmatch(name) for name in known):
        return [str(code) for code in codes]
    if max(codes) >= len(known):
        one = ' (are they counted from 1?)' if max(codes) == len(known) and 0 not in codes else ''
        raise DataError(
            f'{grid.source}: found the number {max(codes)} for a class{one}, expected 0 to {len(known) - 1}, a place '
            f'among the {len(known)} class names; write the names into the table, or correct the list of classes.'
        )
    understanding.facts['numbers'] = (
        f'positions in the list of classes, from 0: {codes[0]} is {known[codes[0]]} (of {len(known)})'
    )
    return [known[code] for code in codes]


def vectors_to_names(
    grid: Grid,
    options: ReadOptions,
    understanding: Understanding,
    rows: np.ndarray,
    tokens: np.ndarray,
    names: Sequence[str],
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray] | None:
    """Class names, rows, classes and values of cells that hold 1 or 0 for each class in its order; None for others.

    Raises:
        DataError: The classes are not known, or of another number.
    """
    if not names or not all(name in VECTOR for name in names) or not len(rows):
        return None
    order = np.argsort(rows, kind='stable')
    rows, tokens = rows[order], tokens[order]
    present, sizes = np.unique(rows, return_counts=True)
    size = int(sizes[0])
    if size < 2 or (sizes != size).any():
        return None
    table = tokens.reshape(len(present), size)
    if size == 2 and all(VECTOR[name] >= 0 for name in names) and (table[:, 0] != table[:, 1]).all():
        return None  # two different positions
    known = options.class_names
    if len(known) != size:
        raise DataError(
            f'{grid.where(int(present[0]))}: found vectors of {size} numbers, expected the {len(known)} classes that '
            f'they stand for; write the {size} class names in their order, one a line, into classes.txt.'
            if known
            else f'{grid.where(int(present[0]))}: found vectors of {size} numbers that are 1 or 0, expected to know '
            f'their classes; write the {size} class names in their order, one a line, into classes.txt.'
        )
    values = np.array([VECTOR[name] for name in names], dtype=np.int8)[tokens]
    if (values == 0).any():
        minus = 'unknown'
    else:
        minus, values = 'no', np.where(values == -1, np.int8(0), values)
    understanding.facts['vectors'] = f'1 or 0 for each of the {size} classes in their order: {", ".join(known)}'
    if any(VECTOR[name] == -1 for name in names):
        understanding.facts['-1'] = minus
    classes = np.tile(np.arange(size), len(present))
    keep = values >= 0
    return list(known), rows[keep], classes[keep], values[keep]
