"""A table as rows and columns of cells, wherever it comes from, in the memory that its distinct cells need."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

FEW = 4096  # distinct cells, up to which a column is kept as their numbers
CHUNK = 1024  # rows that are taken at a time: few enough to stay in the processor's cache


class _Codes(dict):
    """The number of each distinct cell; cells that differ in blanks around them share one."""

    def __init__(self) -> None:
        super().__init__()
        self.values_in_order: list[str] = []

    def __missing__(self, cell: str) -> int:
        plain = cell.strip()
        code = self[plain] if plain in self else len(self.values_in_order)
        if code == len(self.values_in_order):
            self.values_in_order.append(plain)
            self[plain] = code
        self[cell] = code
        return code


class Column:
    """The n cells of a column, without blanks around them.

    Attributes:
        name: Its name in the header, '' where there is none.
    """

    def __init__(self, name: str, blanks: int = 0) -> None:
        self.name = name
        self._codes: _Codes | None = _Codes()
        self._parts: list[np.ndarray] = []
        self._texts: list[str] = []
        self._counts: dict[str, int] | None = None
        self._of_letter = np.full(128, -1, dtype=np.int16)  # codes of cells of one letter
        if blanks:
            self.add([''] * blanks)

    def add(self, cells: Sequence[str]) -> None:
        """Append some cells."""
        self._counts = None
        if self._codes is None:
            self._texts.extend(map(str.strip, cells))
            return
        letters = _letters(cells)
        if letters is not None:
            self._add_letters(letters, self._codes)
            return
        self._parts.append(np.fromiter(map(self._codes.__getitem__, cells), np.int32, len(cells)).astype(np.int16))
        seen = len(self._codes.values_in_order)
        # Most cells of a column of images differ: such a column is written out early.
        if seen > FEW or (len(self._parts) == 1 and seen > 200 and seen > len(cells) // 2):
            self._texts = self.cells()
            self._codes, self._parts = None, []

    def _add_letters(self, letters: np.ndarray, codes: _Codes) -> None:
        for letter in np.unique(letters[self._of_letter[letters] < 0]).tolist():
            self._of_letter[letter] = codes[chr(letter)]
        self._parts.append(self._of_letter[letters])

    @property
    def is_coded(self) -> bool:
        """Whether it has few distinct cells."""
        return self._codes is not None

    @property
    def values(self) -> list[str]:
        """The distinct cells of a coded column."""
        return [] if self._codes is None else self._codes.values_in_order

    @property
    def codes(self) -> np.ndarray:
        """The position in ``values`` of each of the n cells, int16 (n,)."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts) if self._parts else np.zeros(0, np.int16)]
        return self._parts[0]

    def cells(self) -> list[str]:
        """All n cells."""
        if self._codes is None:
            return self._texts
        values = self._codes.values_in_order
        return [values[code] for code in self.codes.tolist()]

    def counts(self) -> dict[str, int]:
        """How often each distinct cell occurs."""
        if self._codes is None:
            return Counter(self._texts)
        if self._counts is None:
            counts = np.bincount(self.codes, minlength=len(self.values)).tolist()
            self._counts = {value: count for value, count in zip(self.values, counts, strict=True) if count}
        return self._counts

    def sample(self, size: int = 5000) -> list[str]:
        """Distinct cells that are not blank: all of a coded column, else those of ``size`` rows spread over it."""
        if self._codes is not None:
            return [value for value, count in self.counts().items() if value and count]
        return list(dict.fromkeys(cell for cell in self._texts[:: max(len(self._texts) // size, 1)] if cell))

    def first(self, cell: str) -> int:
        """The first row with a certain cell; -1 where there is none."""
        if self._codes is None:
            return self._texts.index(cell) if cell in self._texts else -1
        rows = np.flatnonzero(self.codes == self._codes[cell]) if cell in self._codes else np.zeros(0)
        return int(rows[0]) if len(rows) else -1

    def keep(self, rows: np.ndarray) -> None:
        """Keep only some rows."""
        if self._codes is None:
            self._texts = [self._texts[row] for row in rows]
        else:
            self._parts = [self.codes[rows]]
            self._counts = None

    def __getitem__(self, row: int) -> str:
        return self._texts[row] if self._codes is None else self.values[self.codes[row]]


@dataclass
class Grid:
    """A table of n rows.

    Attributes:
        source: Path of the file.
        columns: Its columns; those of a table without a header have no name.
        has_header: Whether the file names its columns.
        count: The number n of rows.
        place: The place of a row in the file, for messages: 'line 7'.
        may_have_remarks: Whether rows may start with # as a remark.
    """

    source: str
    columns: list[Column]
    has_header: bool
    count: int
    place: Callable[[int], str]
    may_have_remarks: bool = False

    def where(self, row: int) -> str:
        """The place of a row, with the file."""
        return f'{self.source}, {self.place(row)}'

    def keep(self, rows: np.ndarray) -> None:
        """Keep only some rows."""
        for column in self.columns:
            column.keep(rows)
        place = self.place
        self.place = lambda row: place(int(rows[row]))
        self.count = len(rows)


def _letters(cells: Sequence[str]) -> np.ndarray | None:
    """The cells as ASCII codes, where each is one letter: the commonest table, 1 and 0, is read at twice the speed."""
    text = '\x1f'.join(cells)
    if len(text) != 2 * len(cells) - 1 or not text.isascii():
        return None
    codes = np.frombuffer(text.encode('ascii'), np.uint8)
    return codes[::2] if (codes[1::2] == 0x1F).all() else None


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage collection meanwhile: lists of cells hold no cycles, and looking for them costs half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
