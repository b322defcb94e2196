"""Options as plain data, and what two of them differ in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def as_data(value: Any) -> Any:
    """A value with dicts and lists for mappings and tuples."""
    if isinstance(value, Mapping):
        return {str(key): as_data(item) for key, item in value.items()}
    return [as_data(item) for item in value] if isinstance(value, list | tuple) else value


def differences(theirs: Any, ours: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Path and both values of everything that two descriptions differ in."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in dict.fromkeys([*ours, *theirs]):
            yield from differences(theirs.get(key), ours.get(key), f'{path}.{key}')
    elif as_data(theirs) != as_data(ours):
        yield path, theirs, ours


def short(value: Any) -> str:
    """A value in at most 120 characters."""
    text = json.dumps(as_data(value), ensure_ascii=False)
    return text if len(text) <= 120 else f'{text[:117]}...'
