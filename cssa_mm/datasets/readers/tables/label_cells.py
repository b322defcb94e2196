"""Columns whose cells hold class names: what each cell says, as positions in a list of classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cssa_mm.datasets.readers.label_table import collect_names, questions_of_spellings
from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.tables.cells import EMPTY, is_list, parse_list
from cssa_mm.datasets.readers.tables.codes import vectors_to_names, with_names_of_codes
from cssa_mm.datasets.readers.tables.grid import Column, Grid
from cssa_mm.datasets.readers.tables.separators import Separators, find_separators
from cssa_mm.datasets.readers.tables.tokens import MISSING, NONE, Tokens
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import plain_name

SCORED = re.compile(r'["\'](score|confidence|probability|prob|conf)["\']: ?(0?\.\d+|[1-9]\d?\.\d+)')
PIECE = 8192  # cells that are taken apart at a time


@dataclass
class Shown:
    """What the cells of n rows say: t times that a class is shown or not in a row.

    Attributes:
        class_names: The C classes that occur, sorted.
        rows: The row of each statement, int (t,).
        classes: Its class, int (t,).
        values: 1 or 0, int8 (t,).
        others: What each row says of the classes that it does not name: 0 or -1, int8 (n,).
        none_rows: Whether a row says 'none of the classes', bool (n,).
    """

    class_names: list[str]
    rows: np.ndarray
    classes: np.ndarray
    values: np.ndarray
    others: np.ndarray
    none_rows: np.ndarray


def read_label_cells(
    grid: Grid, columns: Sequence[Column], options: ReadOptions, understanding: Understanding, is_long: bool
) -> Shown:
    """Take the cells of label columns apart.

    Args:
        grid: The table.
        columns: Its columns with class names.
        options: Words and separators; ``class_names`` give names to numbers and evidence on separators.
        understanding: Gets the facts and questions.
        is_long: Whether images have several rows.

    Raises:
        DataError: A cell cannot be read, or the cells may be read in two ways.
    """
    reader = _CellReader(grid, columns, options, understanding, is_long)
    parts = [reader.read(column) for column in columns]
    rows, tokens = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return reader.shown(rows, tokens)


class _CellReader:
    def __init__(
        self,
        grid: Grid,
        columns: Sequence[Column],
        options: ReadOptions,
        understanding: Understanding,
        is_long: bool,
    ) -> None:
        self.grid, self.options, self.understanding, self.is_long = grid, options, understanding, is_long
        self.tokens = Tokens(options)
        self.count = grid.count
        self.is_many = len(columns) > 1

    def read(self, column: Column) -> tuple[np.ndarray, np.ndarray]:
        """Row and token of each part of each cell of a column."""
        cells = column.values if column.is_coded else column.cells()
        self.column = column
        joined = '\x1e'.join(cells)
        self.lists = self._lists(cells, joined)
        self.separators = self._separators(cells, joined)
        del joined
        rows, tokens = [], []
        for start in range(0, len(cells), PIECE):
            flat, sizes = self._parts(cells[start : start + PIECE])
            rows.append(np.repeat(np.arange(start, start + len(sizes), dtype=np.int32), sizes))
            tokens.append(np.fromiter(map(self.tokens.__getitem__, flat), np.int32, len(flat)))
        if not rows:
            return np.zeros(0, np.int64), np.zeros(0, np.int32)
        row, token = np.concatenate(rows), np.concatenate(tokens)
        if not column.is_coded:
            return row, token
        # The parts of the distinct cells, repeated for each row that holds the cell.
        sizes = np.bincount(row, minlength=len(cells))
        starts = np.cumsum(sizes) - sizes
        repeats = sizes[column.codes]
        offsets = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        return np.repeat(np.arange(self.count), repeats), token[np.repeat(starts[column.codes], repeats) + offsets]

    def _lists(self, cells: Sequence[str], joined: str) -> dict[str, list[str]]:
        """The parsed lists among the cells."""
        if not any(mark in joined for mark in '[{('):
            return {}
        texts = {cell for cell in cells if self.tokens.special(cell) is None}
        is_bare = all(map(is_list, texts))
        found = {}
        for text in sorted(filter(is_list, texts)):
            names = parse_list(text, partial(self._where, text), is_bare)
            if names is not None:
                found[text] = names
            elif '"' in text or "'" in text:
                raise DataError(
                    f'{self._where(text)}: found {" ".join(text[:80].split())}, which looks like a list but is '
                    f"none, expected ['cat', 'dog'] or cat;dog; correct the cell."
                )
        if found:
            if score := next(filter(None, map(SCORED.search, found)), None):
                self.understanding.questions.append(
                    Question(
                        'scores',
                        f'the labels have scores, as predictions do ({score[0]}), and all of them are read',
                        'take out the labels below a threshold of yours, or those that nobody has checked',
                    )
                )
            example = max(found, key=lambda text: (len(found[text]) > 1, -len(text)))
            self.understanding.facts['labels'] = (
                f'lists in the cells, such as {example if len(example) < 80 else example[:77] + "..."}'
            )
        return found

    def _where(self, cell: str) -> str:
        return self.grid.where(self.column.first(cell))

    def _separators(self, cells: Sequence[str], joined: str) -> Separators:
        if self.lists and self.options.label_separators is None:
            return Separators()  # beside lists, other cells hold one name
        words = [*self.tokens.none_words, *self.tokens.unknown_words]
        found = find_separators(cells, joined, words, self.options, self.grid.source, self.column.name, self.is_long)
        self.understanding.facts.setdefault('labels', found.fact)
        self.understanding.questions += found.questions
        return found

    def _parts(self, cells: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """The parts of some cells one after the other, and the number of parts of each cell."""
        characters, whole = self.separators.characters, self.separators.whole
        if self.lists or whole:
            parts = list(self._slow_parts(cells))
            return [part for found in parts for part in found], np.array([len(found) for found in parts])
        if not characters:
            return list(cells), np.ones(len(cells), dtype=np.int64)
        text = '\x1e'.join(cells)
        for character in characters[1:]:
            text = text.replace(character, characters[0])
        sizes = _sizes(text, characters[0], len(cells))
        return text.replace('\x1e', characters[0]).split(characters[0]), sizes

    def _slow_parts(self, cells: Sequence[str]) -> Iterator[list[str]]:
        for cell in cells:
            if cell in self.lists:
                yield self.lists[cell]
            elif plain_name(cell) in self.separators.whole or not self.separators.characters:
                yield [cell]
            else:
                for character in self.separators.characters:
                    cell = cell.replace(character, self.separators.characters[0])
                yield cell.split(self.separators.characters[0])

    def shown(self, rows: np.ndarray, tokens: np.ndarray) -> Shown:
        """What the parts of all columns say together."""
        names, values = list(self.tokens.names), np.array(self.tokens.says, dtype=np.int8)
        none_rows, missing = (self._has(rows[tokens == word]) for word in (NONE, MISSING))
        if len(tokens) and tokens.min() < 0:
            rows, tokens = rows[tokens >= 0], tokens[tokens >= 0]
        has_name = self._has(rows)
        for mixed, word in ((none_rows & has_name, 'none of the classes'), (missing & has_name, 'unlabelled')):
            if mixed.any() and not self.is_many:
                row = int(np.flatnonzero(mixed)[0])
                raise DataError(
                    f"{self.grid.where(row)}: found '{self.column[row]}', which says '{word}' beside a class, expected "
                    f'either; correct the cell, or set none_word or unknown_word to another word.'
                )
        self._state_words(none_rows, has_name)
        vectors = vectors_to_names(self.grid, self.options, self.understanding, rows, tokens, names)
        others = np.where(has_name | none_rows, 0, -1).astype(np.int8)
        if vectors is not None:
            class_names, rows, classes, shown_values = vectors
            return Shown(class_names, rows, classes, shown_values, np.full_like(others, -1), none_rows)
        counts = np.bincount(tokens, minlength=len(names))
        names = with_names_of_codes(self.grid, self.options, self.understanding, names)
        spellings: Counter[str] = Counter()
        for name, number in zip(names, counts.tolist(), strict=True):
            spellings[name] += number
        class_names = collect_names(spellings)
        self.understanding.questions += questions_of_spellings(spellings)
        positions = {plain_name(name): index for index, name in enumerate(class_names)}
        of_token = np.array([positions[plain_name(name)] for name in names], dtype=np.int32)
        if len(values) and not values.all():
            others[has_name] = -1  # a cell that says 'no' of some classes says nothing of the rest
        return Shown(class_names, rows, of_token[tokens], values[tokens], others, none_rows)

    def _has(self, rows: np.ndarray) -> np.ndarray:
        found = np.zeros(self.count, dtype=bool)
        found[rows] = True
        return found

    def _state_words(self, none_rows: np.ndarray, has_name: np.ndarray) -> None:
        facts = self.understanding.facts
        words = {cell: number for cell, number in self.tokens.items() if number in (NONE, MISSING)}
        for name, wanted, mask in (
            ('none of the classes', NONE, none_rows),
            ('unlabelled', MISSING, ~none_rows & ~has_name),
        ):
            spelled = [('[]' if cell == EMPTY else cell) for cell, number in words.items() if number == wanted]
            if wanted == MISSING:
                spelled.insert(0, 'blank')
            facts[name] = f'{", ".join(spelled)} ({int(mask.sum()):,} rows)' if mask.any() else '0 rows'


def _sizes(text: str, separator: str, count: int) -> np.ndarray:
    """The number of parts of each of ``count`` cells, which stand between record separators in ``text``."""
    if not separator.isascii():
        return np.array([cell.count(separator) + 1 for cell in text.split('\x1e')])
    letters = np.frombuffer(text.encode(), np.uint8)  # no byte of a longer character is one of ASCII
    ends = np.append(np.flatnonzero(letters == 0x1E), len(letters))
    before = np.searchsorted(np.flatnonzero(letters == ord(separator)), ends)
    return np.diff(before, prepend=0) + 1
