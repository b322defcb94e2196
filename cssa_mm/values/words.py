"""Type hints and values in words, for messages and for the page of all keys."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any

from cssa_mm.values.hints import alternatives, items_of, origin_of, words_of
from cssa_mm.values.ranges import Range

WORDS: dict[Any, str] = {str: 'text', bool: 'True or False', type(None): 'None', Mapping: 'a dict', Sequence: 'a list'}
LONGEST = 100  # characters of a value in a message


def described(hint: Any) -> str:
    """What fits a type hint, in words: 'a whole number from 1, or None'."""
    named = [list(map(repr, words_of(kind))) or [_named(kind)] for kind in alternatives(hint)]
    words = list(dict.fromkeys(word for each in named for word in each))
    words.sort(key='None'.__eq__)
    return ' or '.join([', '.join(words[:-1]), words[-1]] if len(words) > 1 else words)


def short(value: Any) -> str:
    """A value as a message shows it, in one line."""
    text = ' '.join(repr(value).split())
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 3]}...'


def _named(kind: Any) -> str:
    notes = [mark for mark in getattr(kind, '__metadata__', ()) if isinstance(mark, str)]
    return f'{_kind_of(kind)} ({", ".join(notes)})' if notes else _kind_of(kind)


def _kind_of(kind: Any) -> str:
    origin = origin_of(kind)
    if origin in (Any, object):
        return 'any value'
    if words := words_of(kind):
        return ' or '.join([', '.join(map(repr, words[:-1])), repr(words[-1])] if len(words) > 1 else map(repr, words))
    if origin in (int, float):
        ranges = [str(mark) for mark in getattr(kind, '__metadata__', ()) if isinstance(mark, Range)]
        return f'a {"whole " if origin is int else ""}number{"".join(ranges)}'
    if origin is not Sequence or not items_of(kind) or Any in items_of(kind):
        return WORDS[origin]
    items = [hint for hint in items_of(kind) if hint is not Ellipsis]
    if typing.get_origin(kind) is tuple and len(items) == len(items_of(kind)):
        return f'a list of {len(items)}: {", ".join(map(described, items))}'
    return f'a list of {" or ".join(_plural(one) for one in alternatives(items[0]))}'


def _plural(kind: Any) -> str:
    name = _named(kind)
    for one, many in (('text', 'texts'), ('a dict', 'dicts'), ('a list', 'lists')):
        if name.startswith(one):
            return name.replace(one, many, 1)
    return name.removeprefix('a ').replace('number', 'numbers', 1)
