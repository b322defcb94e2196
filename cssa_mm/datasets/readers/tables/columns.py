"""The columns of a table by name and content, and the one with the images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.tables.column_names import (
    BOXES,
    IMAGE_ENDINGS,
    IMAGES,
    NO_CLASS,
    NO_LABELS,
    SPLITS,
    UNNAMED,
)
from cssa_mm.datasets.readers.tables.flags import as_number, flag_share, meaning
from cssa_mm.datasets.readers.tables.grid import Column, Grid
from cssa_mm.datasets.readers.understanding import Question, Understanding
from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.names import plain_name

CLASS_SHARE = 0.5  # of the cells of a class column that must be yes or no; the others are mistakes
KINDS = {'nothing': 'blank', 'flags': 'yes or no', 'images': 'images'}
BY_NAME = 'no class by name'


@dataclass
class Roles:
    """The columns of a table by what they are for.

    Attributes:
        image: The images.
        labels: Columns with class names; without them, ``classes``.
        classes: Columns with yes or no, one for each class.
        rivals: Columns with yes or no beside ``labels``, which may be classes too.
        value: Whether the class of a row is shown, in a table with a row for each image and class.
        split: The part (training, test) that a row belongs to.
        has_boxes: Whether a row is an object with its box.
    """

    image: Column
    labels: list[Column] = field(default_factory=list)
    classes: list[Column] = field(default_factory=list)
    rivals: list[Column] = field(default_factory=list)
    value: Column | None = None
    split: Column | None = None
    has_boxes: bool = False


class TableColumns:
    """The columns of one table, and what each holds: 'nothing', 'images', 'flags' (yes or no), 'numbers' or 'text'.

    Args:
        grid: The table.
        options: Column names, ``ignore_columns`` and ``class_names`` decide where they are given.
        understanding: Gets the columns that are left, and what is doubtful.
    """

    def __init__(self, grid: Grid, options: ReadOptions, understanding: Understanding) -> None:
        self.grid, self.options, self.understanding = grid, options, understanding
        self.source = grid.source
        self.names = [column.name for column in grid.columns]
        self._content = {id(column): content_of(column, options) for column in grid.columns}

    def holds(self, column: Column) -> str:
        """The content of a column."""
        return self._content[id(column)]

    def has(self, name: str) -> bool:
        """Whether there is a column of this name, as `named` finds it."""
        return bool(self._called(name))

    def _called(self, name: str) -> list[Column]:
        exact = [column for column in self.grid.columns if column.name == name]
        return exact or [column for column in self.grid.columns if plain_name(column.name) == plain_name(name)]

    def named(self, name: str, key: str, what: str = '') -> Column:
        """The column that the option ``key`` names; case, blanks, '_' and '-' don't matter unless two differ in them.

        Raises:
            ConfigError: There is no such column; DataError for the columns that a table must have.
        """
        alike = self._called(name)
        if not alike:
            raise (DataError if what else ConfigError)(
                f"{self.source}: found the columns {self.shown()}, expected one called '{name}'{what}."
                f'{nearest(name, self.names)} Correct the header line or set {key}.'
            )
        return alike[0]

    def shown(self) -> str:
        """The names of the columns, for messages."""
        if not self.grid.has_header:
            return f'without names ({len(self.names)})'
        more = f' and {len(self.names) - 40} more' if len(self.names) > 40 else ''
        return ', '.join(f"'{name}'" for name in self.names[:40]) + more

    def with_examples(self, columns: Sequence[Column]) -> str:
        """Columns with a cell of each, for messages."""
        return ', '.join(f"'{column.name}' ({_short((column.sample(50) or [''])[0])})" for column in columns[:10])

    def is_no_class(self, column: Column) -> bool:
        """Whether a column holds no class by its name, whatever is in it."""
        plain = plain_name(column.name)
        return plain in NO_CLASS or UNNAMED.fullmatch(plain) is not None

    def could_be_class(self, column: Column) -> bool:
        """Whether a column holds yes or no, or nothing yet, under a name that may be a class."""
        return self.holds(column) in ('flags', 'nothing') and not self.is_no_class(column)

    def leave(self, column: Column, reason: str | None = None) -> None:
        """Note that a column is not read, and why: by default, what it holds."""
        holds = self.holds(column)
        if not column.name and holds == 'nothing':
            return
        if reason is None and column.name and (plain_name(column.name) in NO_LABELS or self.is_no_class(column)):
            reason = BY_NAME
        elif reason is None:
            reason = KINDS.get(holds, f'{holds}, such as {_short((column.sample(50) or [""])[0])}')
        self.understanding.left.setdefault(column.name or '(without a name)', reason)

    def ask(self, kind: str, text: str, fix: str) -> None:
        """Add a question."""
        self.understanding.questions.append(Question(kind, text, fix))

    def image(self, columns: Sequence[Column]) -> Column:
        """The column with the images.

        Raises:
            DataError: There is none, or several.
        """
        if self.options.image_column is not None:
            return self.named(self.options.image_column, 'image_column', ' with the images')
        by_content = [column for column in columns if self.holds(column) == 'images']
        by_name = [column for name in IMAGES for column in columns if plain_name(column.name) == name]
        if by_content:
            named = [column for column in by_name if column in by_content]
            if not named and len(by_content) > 1:
                raise DataError(
                    f'{self.source}: found images in several columns, {self.with_examples(by_content)}, expected one; '
                    f'set image_column.'
                )
            return (named or by_content)[0]
        if not self.grid.has_header:
            return columns[0]
        known = [column for column in by_name if self.holds(column) not in ('flags', 'nothing')]
        if known or by_name:
            return (known or by_name)[0]
        if not columns[0].name:  # an index that pandas wrote, or the first column of a header that lacks its name
            return columns[0]
        raise DataError(
            f"{self.source}: found the columns {self.shown()}, expected one called 'image' with the images."
            f'{nearest("image", self.names)} Correct the header line or set image_column.'
        )

    def split(self, columns: Sequence[Column]) -> Column | None:
        """The column that tells the part of the data set, if there is one."""
        wanted = {plain_name(name) for name in self.options.class_names}
        for column in columns:
            plain = plain_name(column.name)
            is_called = plain in SPLITS and plain not in wanted
            if is_called and (self.holds(column) == 'text' or (self.holds(column) == 'flags' and plain[:2] == 'is')):
                return column
            parts = {value.upper() for value in column.values}
            if not column.name and parts and parts <= {'TRAIN', 'VALIDATION', 'TEST', 'UNASSIGNED', ''} != {''}:
                return column if parts != {''} else None
        return None

    def has_boxes(self) -> bool:
        """Whether the rows are objects with boxes."""
        return any(plain_name(name) in BOXES for name in self.names)

    def refuse_single(self) -> None:
        """DataError for a table of one column."""
        if len(self.grid.columns) > 1:
            return
        name = self.names[0] or next(iter(self.grid.columns[0].cells()), '')
        if joined := re.search(r'[,;\t|]', name):
            raise DataError(
                f"{self.source}: found the one column '{name}', expected an image and its labels; set "
                f'delimiter={joined.group()!r}, or leave it out.'
            )
        raise DataError(
            f"{self.source}: found no column but '{name}', expected one called 'labels', or one for each class; add it "
            f'or set label_column.'
        )


def content_of(column: Column, options: ReadOptions) -> str:
    """What a column holds: 'nothing', 'images', 'flags' (yes or no), 'numbers' or 'text'."""
    cells = [cell for cell in column.sample() if meaning(cell, options.unknown_word) != -1]
    if not cells:
        return 'nothing'
    if sum(cell.lower().endswith(IMAGE_ENDINGS) for cell in cells) * 2 > len(cells):
        return 'images'
    is_doubtful = plain_name(column.name) in NO_LABELS
    if flag_share(column, options) >= (1 if is_doubtful else CLASS_SHARE):
        return 'flags'
    if all(as_number(cell.rstrip('% ')) is not None for cell in cells):
        return 'numbers'
    return 'text'


def _short(text: str) -> str:
    return text if len(text) < 30 else f'{text[:27]}...'
