from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest

from cssa_mm.values import AboveZero, OneOf, Positive, Range, Seed, Share, described


@pytest.mark.parametrize(
    ('hint', 'words'),
    [
        (Positive | None, 'a whole number from 1 or None'),
        (None | Share, 'a number from 0 to 1 or None'),
        (AboveZero, 'a number above 0'),
        (Seed, 'a whole number from 0 to 4294967295'),
        (Annotated[float, Range(0, 1, above=True, below=True)], 'a number above 0 and below 1'),
        (Annotated[int, Range(highest=5)], 'a whole number to 5'),
        (Annotated[float, 'seconds'], 'a number (seconds)'),
        (str | Sequence[str] | Mapping | None, 'text, a list of texts, a dict or None'),
        (Literal['auto'] | bool, "'auto' or True or False"),
        (Annotated[str, OneOf(('a', 'b', 'c'))], "'a', 'b' or 'c'"),
        (Sequence[tuple[int, int]], 'a list of lists of 2: a whole number, a whole number'),
        (Sequence[Any], 'a list'),
    ],
)
def test_hints_in_words(hint, words):
    assert described(hint) == words
