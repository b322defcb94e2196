"""Type hints taken apart: their alternatives, and whether a value is one of them."""

from __future__ import annotations

import os
import types
import typing
from collections.abc import Mapping, Sequence
from math import isfinite
from numbers import Integral, Real
from typing import Annotated, Any, Literal

from cssa_mm.values.ranges import OneOf, Range

ALIASES: dict[Any, Any] = {dict: Mapping, list: Sequence, tuple: Sequence, os.PathLike: str}
SIMPLE = (str, bool, int, float, type(None), Mapping, Sequence, Literal, Any, object)


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the hint itself."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(kind for part in typing.get_args(hint) for kind in alternatives(part))
    return (hint,)


def origin_of(kind: Any) -> Any:
    """The class that a hint without alternatives stands for, or Literal."""
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    origin = typing.get_origin(kind) or kind
    return ALIASES.get(origin, origin)


def items_of(kind: Any) -> tuple[Any, ...]:
    """The hints of the items of a list or dict, ... among those of a tuple of any length."""
    return typing.get_args(typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind)


def is_known(kind: Any) -> bool:
    """Whether a hint is one that a config can write."""
    return origin_of(kind) in SIMPLE


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is what a type hint tells."""
    return any(_is(value, kind) for kind in alternatives(hint))


def _is(value: Any, kind: Any) -> bool:
    origin = origin_of(kind)
    if origin in (Any, object) or origin not in SIMPLE:
        return True
    if origin is Literal:
        return any(type(value) is type(word) and value == word for word in typing.get_args(kind))
    if origin in (int, float):
        return _is_number(value, kind, Integral if origin is int else Real)
    if origin is Mapping:
        hints = items_of(kind)
        return isinstance(value, Mapping) and all(not hints or fits(item, hints[1]) for item in value.values())
    if origin is Sequence:
        return _is_list(value, items_of(kind), typing.get_origin(kind) is tuple)
    return _is_text(value, words_of(kind)) if origin is str else isinstance(value, origin)


def words_of(kind: Any) -> tuple[Any, ...]:
    """The words that a hint lists; () where any text will do."""
    if typing.get_origin(kind) is Literal:
        return typing.get_args(kind)
    return next((mark.words for mark in getattr(kind, '__metadata__', ()) if isinstance(mark, OneOf)), ())


def _is_text(value: Any, words: tuple[Any, ...]) -> bool:
    return isinstance(value, (str, os.PathLike)) and not holds_other_bytes(value) and (not words or value in words)


def holds_other_bytes(value: Any) -> bool:
    """Whether a text or path is the name of a file that is no UTF-8, which no log and no checkpoint can hold."""
    return isinstance(value, (str, os.PathLike)) and any('\ud800' <= letter <= '\udfff' for letter in str(value))


def _is_number(value: Any, kind: Any, numbers: type) -> bool:
    if not isinstance(value, numbers) or isinstance(value, bool) or not isinstance(value, Real):
        return False
    ranges = [mark for mark in getattr(kind, '__metadata__', ()) if isinstance(mark, Range)]
    return all(each.holds(value) for each in ranges) if ranges else isinstance(value, int) or isfinite(float(value))


def _is_list(value: Any, hints: tuple[Any, ...], is_tuple: bool) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return False
    if is_tuple and Ellipsis not in hints:
        return len(value) == len(hints) and all(fits(item, hint) for item, hint in zip(value, hints, strict=True))
    return all(not hints or fits(item, hints[0]) for item in value)
