"""Names at the top level of a config file that other keys use, such as `train_pipeline` in mmpretrain's files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from cssa_mm.engine.config.guard import CONFIG_KEYS


def drop_helpers(config: Config) -> None:
    """Take the names out of a config that are no keys, but whose list, dict or text stands below one, in place.

    A number is the same as too many others to tell that it is used, and what a misspelt key says stands nowhere else:
    both stay, and are refused as unknown keys.
    """
    strangers = [name for name in config if name not in CONFIG_KEYS and not name.startswith('_')]
    candidates = [name for name in strangers if isinstance(config[name], list | tuple | Mapping | str) and config[name]]
    if not candidates:
        return
    used = [value for name in config if name not in strangers for value in _below(config[name])]
    for name in candidates:
        if any(type(value) is type(config[name]) and value == config[name] for value in used):
            config.pop(name)


def _below(value: Any) -> Iterator[Any]:
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for item in items:
        yield item
        yield from _below(item)
