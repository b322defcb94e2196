"""What the cells of class columns say: yes, no or unknown, decided on all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.tables.grid import Column, Grid
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import one_form

UNKNOWN_WORDS = frozenset(('', 'nan', 'n/a', 'na', '-', '--', 'null', '?', '<na>', '#n/a', 'nat', '{}'))
MARKS = frozenset(('x', '✓', '✔', '☑', '*', '●', '•', '+'))
# fmt: off
YES = MARKS | frozenset((
    'true', 'yes', 'y', 't', 'ja', 'j', 'oui', 'si', 'sí', 'sì', 'sim', 'on', 'да', '是', '有', 'はい', 'positive',
    'pos', 'present',
))
NO = frozenset((
    'false', 'no', 'n', 'f', 'nein', 'non', 'não', 'off', 'нет', '否', '无', '無', 'いいえ', 'negative', 'neg',
    'absent', '☐', '✗', '✘',
))
# fmt: on
MINUS = 2  # -1, until it is known what it says
RARE = 100  # so many times more -1 than 0: is the 0 a slip?


def meaning(cell: str, unknown_words: Sequence[str] = ()) -> int | None:
    """1, 0, -1 (unknown) or `MINUS` for a cell that can stand in a class column; None for any other."""
    word = one_form(cell).casefold()
    if word in UNKNOWN_WORDS or any(word == one_form(other).casefold() for other in unknown_words):
        return -1
    if word in YES or word in NO:
        return int(word in YES)
    number = as_number(word)
    return {1.0: 1, 0.0: 0, -1.0: MINUS}.get(number) if number is not None else None


def as_number(cell: str) -> float | None:
    """The number in a cell, None where it holds none; '12,5' is twelve and a half."""
    try:
        return float(cell if cell.count(',') != 1 or '.' in cell else cell.replace(',', '.'))
    except ValueError:
        return None


def flag_share(column: Column, options: ReadOptions) -> float:
    """The share of rows with yes, no or -1 among the cells of a column that are not unknown; 0 where all are."""
    if not column.is_coded:
        return 0.0
    flags: Counter[str] = Counter()
    others = 0
    for cell, count in column.counts().items():
        value = meaning(cell, options.unknown_word)
        if value is None:
            others += count
        elif value != -1:
            flags[cell] = count
    if others:  # words such as f (beside m) are no yes or no then
        flags = Counter({cell: count for cell, count in flags.items() if as_number(cell) is not None})
    return flags.total() / (flags.total() + others) if flags else 0.0


def read_flags(grid: Grid, columns: Sequence[Column], options: ReadOptions, understanding: Understanding) -> np.ndarray:
    """The labels int8 (n, C) of C class columns; what counts as yes, no and unknown goes into ``understanding``.

    Raises:
        DataError: A cell is none of them, or blanks may mean two things.
    """
    counts: Counter[str] = Counter()
    for column in columns:
        counts.update(column.counts() if column.is_coded else Counter(column.cells()))
    values = {cell: meaning(cell, options.unknown_word) for cell in counts}
    for cell, value in values.items():
        if value is None:
            _refuse(cell, grid, columns, values)
    _resolve_dash(counts, values)
    _resolve_minus(counts, values, options, understanding)
    _resolve_blank(counts, values, options, understanding, grid, columns)
    _ask_mixed_words(counts, values, understanding)
    for name, wanted in (('yes', 1), ('no', 0), ('unknown', -1)):
        understanding.facts[name] = counted({cell: counts[cell] for cell in counts if values[cell] == wanted}, 'cells')
    labels = np.empty((grid.count, len(columns)), dtype=np.int8)
    for index, column in enumerate(columns):
        if column.is_coded:
            labels[:, index] = np.array([values.get(cell, -1) for cell in column.values], dtype=np.int8)[column.codes]
        else:
            labels[:, index] = np.array([values[cell] for cell in column.cells()], dtype=np.int8)
    return labels


def counted(cells: Mapping[str, int], unit: str, limit: int = 4) -> str:
    """Cells and how often they occur: '1 (12 cells), true (3)'."""
    ordered = sorted(cells.items(), key=lambda item: (-item[1], item[0]))
    shown = [f'{cell or "blank"} ({count:,}{f" {unit}" if not k else ""})' for k, (cell, count) in enumerate(ordered)]
    return ', '.join(shown[:limit]) + (f' and {len(shown) - limit} more' if len(shown) > limit else '') or 'never'


def _refuse(cell: str, grid: Grid, columns: Sequence[Column], values: Mapping[str, int | None]) -> None:
    column, row = next((column, row) for column in columns if (row := column.first(cell)) >= 0)
    numbers = [as_number(other.rstrip('% ')) for other, value in values.items() if value is None]
    bad = [number for number in numbers if number is not None]
    place = f"{grid.where(row)}: found '{cell}' in the column '{column.name}'"
    if len(bad) == len(numbers) and (cell.endswith('%') or all(0 < number < 1 for number in bad)):
        raise DataError(
            f'{place}, a score or percentage, expected 1, 0, or blank for unknown; write 1 or 0 by a threshold of '
            f"yours, or set ignore_columns='{column.name}' if it is no class."
        )
    raise DataError(
        f'{place}, expected 1, 0, or blank for unknown, as the table seems to have a column for each class; correct '
        f"the cell, set unknown_word='{cell}' if it says that nobody knows, or set ignore_columns='{column.name}' if "
        f"it is no class, or label_column='{column.name}' if it holds class names."
    )


def _resolve_dash(counts: Mapping[str, int], values: dict[str, int | None]) -> None:
    if '+' in counts and '-' in counts:
        values['-'] = 0


def _resolve_minus(
    counts: Mapping[str, int], values: dict[str, int | None], options: ReadOptions, understanding: Understanding
) -> None:
    minus = [cell for cell, value in values.items() if value == MINUS]
    if not minus:
        return
    total = sum(counts[cell] for cell in minus)
    zeros = sum(counts[cell] for cell, value in values.items() if value == 0)
    wanted = options.minus_one or ('unknown' if zeros else 'no')
    values.update(dict.fromkeys(minus, -1 if wanted == 'unknown' else 0))
    if options.minus_one:
        understanding.facts['-1'] = f'{wanted}, as minus_one says'
    elif zeros:
        understanding.facts['-1'] = "unknown, as 0 says no (minus_one='no' changes it)"
        if total > RARE * zeros:
            understanding.questions.append(
                Question(
                    'minus_one',
                    f'{zeros:,} cells are 0 and {total:,} are -1, which is read as unknown: the few 0 may be slips',
                    "set minus_one='no' if -1 says 'not shown'",
                )
            )
    else:
        understanding.facts['-1'] = "no, as no cell is 0 (minus_one='unknown' changes it)"


def _resolve_blank(
    counts: Mapping[str, int],
    values: dict[str, int | None],
    options: ReadOptions,
    understanding: Understanding,
    grid: Grid,
    columns: Sequence[Column],
) -> None:
    blanks = [cell for cell in counts if cell.casefold() in ('', 'nan') and values[cell] == -1]
    if not blanks or options.blank == 'unknown':
        return
    number = sum(counts[cell] for cell in blanks)
    empty = np.ones(grid.count, dtype=bool)
    for column in columns:
        cells = column.values if column.is_coded else column.cells()
        is_blank = np.array([cell in blanks for cell in cells], dtype=bool)
        empty &= is_blank[column.codes] if column.is_coded else is_blank
    if options.blank is None:
        yes = {cell: counts[cell] for cell, value in values.items() if value == 1}
        # Where rows are blank throughout or not at all, a blank row is one that nobody has labelled.
        if yes and 0 not in values.values() and number > int(empty.sum()) * len(columns):
            raise DataError(
                f'{grid.source}: found {counted(yes, "cells")} and {number:,} blank cells but no cell that says no, '
                f"expected to know what a blank says; set blank='no' if it says that the class is not shown, or "
                f"blank='unknown' if nobody has looked."
            )
        return
    values.update(dict.fromkeys(blanks, 0))
    if empty.any():
        understanding.questions.append(
            Question(
                'blank_rows',
                f"blank='no' makes images of none of the classes of the {int(empty.sum()):,} rows that are blank "
                f'throughout ({grid.place(int(np.flatnonzero(empty)[0]))})',
                'take these rows out of the table if they are not labelled yet',
            )
        )


def _ask_mixed_words(counts: Mapping[str, int], values: Mapping[str, int | None], understanding: Understanding) -> None:
    yes = {cell: counts[cell] for cell, value in values.items() if value == 1}
    kinds = {cell.casefold() if cell.casefold() in MARKS else as_number(cell) is not None for cell in yes}
    if len(kinds) > 1:
        understanding.questions.append(
            Question('mixed_words', f'yes is written in several ways: {counted(yes, "cells")}', 'write it in one way')
        )
