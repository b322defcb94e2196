"""Options of a data set, compared with the type hints of its constructor: a wrong type is one line, not a traceback."""

from __future__ import annotations

import inspect
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from cssa_mm.errors import ConfigError

WORDS: dict[Any, str] = {str: 'text', bool: 'True or False', type(None): 'None', Mapping: 'a dict', Sequence: 'a list'}


def check_types(taker: Callable, options: Mapping[str, Any], where: str = '') -> dict[str, Any]:
    """The options of a function or constructor, with whole numbers as text where only text is taken.

    Options whose hint holds anything but text, truth values, mappings and sequences are left to whoever takes them. A
    whole number stands for its digits, since a command line can't tell the column 3 from the number.

    Args:
        taker: Function whose type hints count.
        options: Values by keyword; those that ``taker`` doesn't have are left out.
        where: Start of the key in messages, such as 'train_dataloader.dataset'.

    Raises:
        ConfigError: A value is of another type.
    """
    hints = _hints(taker)
    found = {}
    for name, value in options.items():
        if name not in hints:
            continue
        found[name] = _as_text(value, hints[name])
        if not _fits(found[name], hints[name]):
            key = f'{where}.{name}' if where else name
            is_word = isinstance(value, (float, bool)) and str in hints[name]
            quoted = f"; for the text, put it in quotes: {name}='{value}'" if is_word else ''
            raise ConfigError(f'{key}: found {value!r}, expected {_named(hints[name])}{quoted}')
    return found


@lru_cache
def _hints(taker: Callable) -> dict[str, Any]:
    """The alternatives of each keyword, the type of its default among them."""
    found = {}
    hints = typing.get_type_hints(taker)
    for name, parameter in inspect.signature(taker).parameters.items():
        if name in hints and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            hint = hints[name]
            is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
            kinds = typing.get_args(hint) if is_union else (hint,)
            if all(_origin(kind) in WORDS for kind in kinds):
                found[name] = tuple(kinds) + ((type(None),) if parameter.default is None else ())
    return found


def _origin(kind: Any) -> Any:
    return typing.get_origin(kind) or kind


def _fits(value: Any, kinds: Sequence[Any]) -> bool:
    return any(_is(value, kind) for kind in kinds)


def _is(value: Any, kind: Any) -> bool:
    origin = _origin(kind)
    if origin is Sequence:
        items = typing.get_args(kind)
        is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        return is_list and all(not items or items[0] is Any or _fits(item, items) for item in value)
    return isinstance(value, (str, os.PathLike) if origin is str else origin)


def _as_text(value: Any, kinds: Sequence[Any]) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and str in kinds:
        return str(value)
    if isinstance(value, (list, tuple)) and any(typing.get_args(kind) == (str,) for kind in kinds):
        return type(value)(_as_text(item, (str,)) for item in value)
    return value


def _named(kinds: Sequence[Any]) -> str:
    words = []
    for kind in dict.fromkeys(kinds):
        word = WORDS[_origin(kind)]
        words.append(f'{word} of texts' if typing.get_args(kind) == (str,) else word)
    return ' or '.join([', '.join(words[:-1]), words[-1]] if len(words) > 1 else words)
