"""The parts of label cells: a class name, or a word for none of the classes or for unlabelled."""

from __future__ import annotations

from cssa_mm.datasets.readers.source import ReadOptions
from cssa_mm.datasets.readers.tables.cells import EMPTY, NEGATIVE
from cssa_mm.datasets.readers.tables.flags import UNKNOWN_WORDS
from cssa_mm.names import one_form

SKIP, NONE, MISSING = -1, -2, -3  # a blank part of a cell, the word for none, a word for unlabelled


class Tokens(dict):
    """Part of a cell -> its number among the distinct parts, or SKIP, NONE or MISSING.

    Attributes:
        names: The distinct parts that are class names.
        says: 1 or 0 for each: whether the class is shown.
    """

    def __init__(self, options: ReadOptions) -> None:
        super().__init__()
        self.names: list[str] = []
        self.says: list[int] = []
        self.none_words = {one_form(word).casefold() for word in options.none_word}
        wanted = {one_form(name).casefold() for name in options.class_names}
        unknown = UNKNOWN_WORDS - wanted | {one_form(word).casefold() for word in options.unknown_word}
        self.unknown_words = unknown - self.none_words

    def special(self, text: str) -> int | None:
        """SKIP, NONE or MISSING for a word that is no class."""
        word = one_form(text).casefold()
        if word == '':
            return SKIP
        if word in self.none_words or word == EMPTY:
            return NONE
        return MISSING if word in self.unknown_words else None

    def __missing__(self, text: str) -> int:
        number = self.special(text)
        if number is None:
            name, value = (text[1:], 0) if text.startswith(NEGATIVE) else (text, 1)
            number = len(self.names)
            self.names.append(one_form(name))
            self.says.append(value)
        self[text] = number
        return number
