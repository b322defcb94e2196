"""Classes as `type`, as mmengine's lazy-import configs write them, become the names that they are registered by."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry, root
from mmpretrain import registry

REGISTRIES: tuple[Registry, ...] = tuple(
    value for module in (registry, root) for value in vars(module).values() if isinstance(value, Registry)
)


def name_types(section: Any) -> None:
    """Replace each `type` below a section that is a registered class or function by its name, in place.

    What is compared and stored with a checkpoint is plain data then, whoever wrote the config.
    """
    if isinstance(section, Mapping):
        kind = section.get('type')
        if inspect.isclass(kind) or inspect.isroutine(kind):
            section['type'] = _name_of(kind) or kind  # type: ignore[index]
        for key in section:
            name_types(section[key])
    elif isinstance(section, list | tuple):
        for each in section:
            name_types(each)


def _name_of(kind: Any) -> str | None:
    for candidate in REGISTRIES:
        if candidate.module_dict.get(kind.__name__) is kind:
            return kind.__name__
    return None
