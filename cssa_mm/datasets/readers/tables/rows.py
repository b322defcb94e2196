"""The rows of a text table, as columns: read at the speed at which text can be split, where there are no quotes."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from tqdm import tqdm

from cssa_mm.datasets.readers.tables.grid import CHUNK, Column, Grid, no_collection
from cssa_mm.errors import DataError

PIECE = 1 << 16  # characters that are split at a time: few enough to stay in the processor's cache
LARGE = 50_000_000  # bytes, above which progress is shown on a terminal


class RowReader:
    """Reads the rows below a header, or all; a second time where a message needs the line of one.

    Args:
        path: The file, for messages.
        content: Its bytes.
        encoding: Their encoding.
        skip: The number of lines before the rows.
        delimiter: The character between cells.
        names: The header; None where there is none, and rows may have any number of cells.
    """

    def __init__(
        self, path: str, content: bytes, encoding: str, skip: int, delimiter: str, names: Sequence[str] | None
    ) -> None:
        self.path, self.content, self.encoding = path, content, encoding
        self.skip, self.delimiter, self.names = skip, delimiter, names
        self.columns = [Column(name) for name in names or ()]
        self.count = 0
        self._lines: np.ndarray | None = None

    def grid(self) -> Grid:
        """The table.

        Raises:
            DataError: A quote does not close, or a row has more cells than the header.
        """
        csv.field_size_limit(max(csv.field_size_limit(), 1 << 27))  # masks as run lengths in a cell
        is_shown = len(self.content) > LARGE and sys.stderr.isatty()
        with no_collection(), tqdm(desc=self.path, unit=' rows', disable=not is_shown) as progress:
            for _ in self._add_all():
                progress.update(self.count - progress.n)
        return Grid(self.path, self.columns, self.names is not None, self.count, self._place, b'#' in self.content)

    def _add_all(self) -> Iterator[None]:
        # Without quotes, every line is a row, and cells are what stands between delimiters.
        if b'"' in self.content or not self.delimiter.isascii() or self.delimiter == ' ':
            rows = self._reader(self._text())
            while chunk := self._take(rows, CHUNK):
                self._add(chunk)
                yield
            return
        text = self._text()
        while piece := text.read(PIECE):
            piece += text.readline()
            columns = self._split(piece)
            if columns is not None:
                self._add_columns(columns)
            elif chunk := self._take(self._reader(io.StringIO(piece, newline='')), None):
                self._add(chunk)
            yield

    def _text(self) -> io.TextIOWrapper:
        text = io.TextIOWrapper(io.BytesIO(self.content), self.encoding, newline='')
        for _ in range(self.skip):
            next(text, None)
        return text

    def _reader(self, lines: Iterable[str]) -> Any:
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True, strict=True)

    def _take(self, rows: Any, size: int | None) -> list[list[str]]:
        """The next rows that are not empty."""
        try:
            while taken := list(islice(rows, size)):
                if chunk := [row for row in taken if any(row)]:
                    return chunk
        except csv.Error as error:
            raise DataError(
                f'{self.path}, line {self.skip + rows.line_num}: found no valid CSV ({error}), expected a table with '
                f'quotes that close; correct the line.'
            ) from error
        return []

    def _split(self, piece: str) -> list[list[str]] | None:
        """The cells of each column of some lines; None where a line has another number of cells, or none."""
        width = len(self.columns)
        if '\r' in piece:
            piece = piece.replace('\r\n', '\n')
        piece = piece if piece.endswith('\n') else f'{piece}\n'
        blank = '\n' + self.delimiter * (width - 1) + '\n'
        if not width or '\r' in piece or blank in f'\n{piece}':
            return None
        letters = np.frombuffer(piece.encode(), np.uint8)  # no byte of a longer character is one of ASCII
        ends = np.flatnonzero(letters == 0x0A)
        if width > 1:
            marks = np.flatnonzero(letters == ord(self.delimiter))
            if len(marks) != len(ends) * (width - 1):
                return None
            if (marks[width - 2 :: width - 1] > ends).any() or (marks[width - 1 :: width - 1] < ends[:-1]).any():
                return None
        cells = piece[:-1].replace('\n', self.delimiter).split(self.delimiter)
        return [cells[index::width] for index in range(width)]

    def _add_columns(self, cells: Sequence[Sequence[str]]) -> None:
        for column, own in zip(self.columns, cells, strict=True):
            column.add(own)
        self.count += len(cells[0])

    def _add(self, chunk: list[list[str]]) -> None:
        width = len(self.columns)
        if set(map(len, chunk)) != {width}:
            widest = max(map(len, chunk))
            if widest > width and self.names is not None:
                chunk = [self._cut(row, number) if len(row) > width else row for number, row in enumerate(chunk)]
            elif widest > width:
                self.columns += [Column('', self.count) for _ in range(widest - width)]
                width = widest
            chunk = [row + [''] * (width - len(row)) for row in chunk]
        self._add_columns(list(zip(*chunk, strict=True)))

    def _cut(self, row: list[str], number: int) -> list[str]:
        width = len(self.columns)
        if any(cell.strip() for cell in row[width:]):
            raise DataError(
                f'{self.path}, {self._place(self.count + number)}: found {len(row)} cells, expected the {width} of the '
                f'header ({", ".join(self.names or ())}); separate labels by another character (cat;dog), or put them '
                f'in quotes.'
            )
        return row[:width]

    def _place(self, row: int) -> str:
        if self._lines is None:
            rows = self._reader(self._text())
            self._lines = np.fromiter((rows.line_num for cells in rows if any(cells)), dtype=np.int64)
        # A broken file may have other rows than the whole of it was read as.
        return f'line {self.skip + int(self._lines[row])}' if row < len(self._lines) else f'row {row + 1}'
