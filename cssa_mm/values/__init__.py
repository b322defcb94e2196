"""One mechanism for values that a config gives: each is compared with the type hint of what takes it.

A hint tells what fits, and ``Annotated`` with a `Range` or `OneOf` tells which numbers or words do::

    def __init__(self, k: Positive = 32, weight: Share = 0.5, rule: Literal['f1', 'rate'] = 'f1') -> None:
        check_values(Neighbours.__init__, locals(), 'model.neighbours')

`check_values` says in one line what was found and what was expected, and `described` writes the same for people: a hint
is its own documentation. Rules that type hints alone don't tell:

- True and False are no numbers; a whole number is a number; NaN and infinity are none, unless a `Range` has them;
- a text among the marks of `Annotated` is a note for people, such as 'seconds';
- a path is text, and text is no list;
- an option whose default is None may be None;
- a hint that holds a class which no config can write is left to whoever takes the option.
"""

from __future__ import annotations

from cssa_mm.values.checking import check_values, hints_of, require_value
from cssa_mm.values.ranges import (
    MOST_EPOCHS,
    AboveZero,
    BatchSize,
    Epochs,
    NotNegative,
    OneOf,
    Positive,
    Range,
    Seed,
    Share,
    Whole,
    Workers,
)
from cssa_mm.values.words import described, short

__all__ = [
    'MOST_EPOCHS',
    'AboveZero',
    'BatchSize',
    'Epochs',
    'NotNegative',
    'OneOf',
    'Positive',
    'Range',
    'Seed',
    'Share',
    'Whole',
    'Workers',
    'check_values',
    'described',
    'hints_of',
    'require_value',
    'short',
]
