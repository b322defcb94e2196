"""Overrides laid over a config: dotted keys, of which each part names a key or a place in a list."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from cssa_mm.errors import ConfigError, nearest

DELETE_KEY = '_delete_'  # mmengine's: replace the dict that stands there


def apply_overrides(config: Config, overrides: Mapping[str, Any]) -> None:
    """Set dotted keys of a config, in place.

    A dict is merged into the dict that stands there (`_delete_=True` replaces it), and replaces anything else. Keys
    below a part that is None make it a dict.

    Args:
        config: a config.
        overrides: dotted key -> value.

    Raises:
        ConfigError: a key leads below a value that has no keys, or beyond the end of a list, or two of them
            contradict each other.
    """
    for key in overrides:
        if not isinstance(key, str) or not all(key.split('.')):
            raise _unfit(config, key, 'not a dotted key')
    tree: dict[str, Any] = {}
    for key, value in overrides.items():
        _refuse_contradiction(config, key, overrides)
        *parents, last = key.split('.')
        if not any('.'.join(parents[:end]) in overrides for end in range(1, len(parents) + 1)):
            _make_room(config, key)
        node = tree
        for part in parents:
            node[part] = {} if node.get(part) is None else node[part]
            node = node[part]
            if not isinstance(node, dict):
                raise _unfit(config, key, f'{part} is {_short(node)} in another override')
        node[last] = copy.deepcopy(value)
    _merge(config, tree)


def _refuse_contradiction(config: Config, key: str, overrides: Mapping[str, Any]) -> None:
    """Refuse `a=1` beside `a.b=2`; `a=dict(c=1)` before it is fine."""
    order = list(overrides)
    for other in order:
        if other.startswith(f'{key}.'):
            is_base = isinstance(overrides[key], Mapping) and order.index(key) < order.index(other)
            if not is_base:
                raise _unfit(config, other, f"'{key}' is overridden as a whole, too; give one of the two")


def _make_room(config: Config, key: str) -> None:
    """Make a dict of each None that a key leads through, and refuse what has no keys."""
    *parents, last = key.split('.')
    node: Any = config
    for position, part in enumerate(parents):
        path = '.'.join(parents[: position + 1])
        place = _place(config, node, part, path)
        if place is None:
            return
        if node[place] is None:
            node[place] = ConfigDict()
        node = node[place]
        if not isinstance(node, Mapping | list):
            raise _unfit(config, key, f'{path} is {_short(node)} there, which has no keys')
    _place(config, node, last, key)


def _merge(node: Any, tree: Mapping[str, Any]) -> None:
    """Lay a tree over a dict or list."""
    for key, value in tree.items():
        place: Any = int(key) if isinstance(node, list) else key
        if isinstance(value, Mapping):
            value = dict(value)
            if value.pop(DELETE_KEY, False) or not _takes(node, place, value):
                node[place] = ConfigDict(value)
            else:
                _merge(node[place], value)
        else:
            node[place] = value


def _takes(node: Any, place: Any, value: Mapping[str, Any]) -> bool:
    """Whether a dict can be merged into what stands there: a dict, or a list that has all these places."""
    if isinstance(node, Mapping | Config) and place not in node:
        return False
    there = node[place]
    if isinstance(there, list):
        return bool(value) and all(str(key).isdecimal() and int(key) < len(there) for key in value)
    return isinstance(there, Mapping)


def _place(config: Config, node: Any, part: str, path: str) -> str | int | None:
    """The key or index of a part; None where a dict has no such key yet."""
    if not isinstance(node, list):
        return part if part in node else None
    if not part.isdecimal() or int(part) >= len(node):
        raise _unfit(config, path, f'a list of {len(node)} stands there, whose places are numbered from 0')
    return int(part)


def _unfit(config: Config, key: object, reason: str) -> ConfigError:
    name = config.filename or 'the config'
    hint = nearest(str(key).split('.')[0], config) if str(key).split('.')[0] not in config else ''
    return ConfigError(
        f'--cfg-options: found an override that does not fit {name} ({key}: {reason}), expected '
        f'key.of.the.config=value; correct the key{hint}'
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
