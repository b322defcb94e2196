"""Values compared with the hints of what takes them; a wrong one is one line."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from cssa_mm.errors import ConfigError, nearest
from cssa_mm.values.hints import alternatives, fits, holds_other_bytes, is_known, items_of, origin_of, words_of
from cssa_mm.values.words import described, short

OURS = 'cssa_mm'


def check_values(
    taker: Callable, options: Mapping[str, Any], where: str = '', takes_digits: bool = False
) -> dict[str, Any]:
    """Compare options with the type hints of the function, or of the class and its bases, that takes them.

    Args:
        taker: function or class; of a class, the constructors of this package count.
        options: values by keyword; those that no hint is known of are left out.
        where: start of the key in messages, such as 'train_dataloader.dataset'.
        takes_digits: whether a whole number stands for its digits where only text fits, since a command line can't tell
            the column 3 from the number.

    Returns:
        The options that were compared, with digits as text.

    Raises:
        ConfigError: a value does not fit.
    """
    hints = hints_of(taker)
    found = {}
    for name, value in options.items():
        if name in hints:
            found[name] = _as_text(value, hints[name]) if takes_digits else value
            require_value(f'{where}.{name}' if where else name, found[name], hints[name])
    return found


def require_value(key: str, value: Any, hint: Any) -> None:
    """Refuse a value that does not fit a type hint.

    Raises:
        ConfigError: it does not; the message names its `key`.
    """
    if fits(value, hint):
        return
    kinds = [origin_of(kind) for kind in alternatives(hint)]
    is_word = isinstance(value, (float, bool)) and str in kinds
    quoted = f"; for the text, put it in quotes: {key.rpartition('.')[2]}='{value}'" if is_word else ''
    words = [word for kind in alternatives(hint) for word in words_of(kind)]
    alike = nearest(value, words) if isinstance(value, str) else ''
    quoted = '; its name is no UTF-8: rename the file or folder' if holds_other_bytes(value) else quoted
    keys = f'; to set one of its keys: {key}.KEY=...' if Mapping in kinds and value is not None else ''
    raise ConfigError(
        f'{key}: found {short(value)}, expected {described(hint)}{quoted}{keys}{"." if alike else ""}{alike}'
    )


@lru_cache
def hints_of(taker: Callable) -> dict[str, Any]:
    """The hint of each keyword that a config can give, None among its alternatives where that is the default."""
    found: dict[str, Any] = {}
    seen = {'self'}
    for function in _constructors(taker):
        parameters = inspect.signature(function).parameters.values()
        is_read = function is taker or function.__module__.partition('.')[0] == OURS
        hints = typing.get_type_hints(function, include_extras=True) if is_read else {}
        for parameter in parameters:
            if parameter.name in seen or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            seen.add(parameter.name)
            hint = hints.get(parameter.name, Any)
            if hint is not Any and all(is_known(kind) for kind in alternatives(hint)):
                found[parameter.name] = typing.Optional[hint] if parameter.default is None else hint  # noqa: UP045
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def _constructors(taker: Callable) -> Iterator[Callable]:
    if not inspect.isclass(taker):
        yield taker
        return
    for parent in taker.__mro__[:-1]:
        if '__init__' in vars(parent):
            yield vars(parent)['__init__']


def _as_text(value: Any, hint: Any) -> Any:
    kinds = alternatives(hint)
    if isinstance(value, int) and not isinstance(value, bool) and str in map(origin_of, kinds):
        return value if fits(value, hint) else str(value)
    if isinstance(value, (list, tuple)) and any(
        origin_of(kind) is Sequence and items_of(kind) == (str,) for kind in kinds
    ):
        return type(value)(_as_text(item, str) for item in value)
    return value
