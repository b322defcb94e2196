"""Which numbers an annotation allows: `Annotated[int, Range(1)]`, and names for the common ones."""

from __future__ import annotations

from math import inf
from typing import Annotated, Any, NamedTuple


class OneOf(NamedTuple):
    """The words that a text may be: `Annotated[str, OneOf(('sum', 'mean'))]`."""

    words: tuple[str, ...]


class Range(NamedTuple):
    """Numbers from `lowest` to `highest`; `above` and `below` leave out the ends themselves."""

    lowest: float = -inf
    highest: float = inf
    above: bool = False
    below: bool = False

    def holds(self, number: Any) -> bool:
        """Whether a number lies within; NaN lies nowhere."""
        is_high = number > self.lowest if self.above else number >= self.lowest
        return bool(is_high and (number < self.highest if self.below else number <= self.highest))

    def __str__(self) -> str:
        """The range after the words "a number"; '' where it has no end."""
        start = '' if self.lowest == -inf else f' {"above" if self.above else "from"} {_plain(self.lowest)}'
        if self.highest == inf:
            return start
        end = 'to' if not self.below else 'and below' if start else 'below'
        return f'{start} {end} {_plain(self.highest)}'


def _plain(number: float) -> str:
    return f'{number:g}' if abs(number) < 1e6 or isinstance(number, float) else str(number)


MOST_WORKERS, MOST_IMAGES, MOST_EPOCHS = 1024, 2**20, 10**6

Whole = Annotated[int, Range(0)]
Positive = Annotated[int, Range(1)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Workers = Annotated[int, Range(0, MOST_WORKERS)]
BatchSize = Annotated[int, Range(1, MOST_IMAGES)]
Epochs = Annotated[int, Range(0, MOST_EPOCHS)]
Share = Annotated[float, Range(0, 1)]
NotNegative = Annotated[float, Range(0, inf, below=True)]
AboveZero = Annotated[float, Range(0, inf, above=True, below=True)]
