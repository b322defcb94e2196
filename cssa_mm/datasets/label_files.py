"""Label files that an option names, each with the part of it that is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cssa_mm.errors import ConfigError

KEYS = ('ann_file', 'img_dir', 'subset')


def label_files(key: str, option: object) -> list[dict[str, Any]]:
    """The label files of an option: names, or dicts of ``ann_file`` with ``img_dir`` and ``subset`` where they differ.

    Raises:
        ConfigError: The option ``key`` has another form.
    """
    several = option if isinstance(option, list | tuple) else [option]
    files: list[Any] = [dict(ann_file=item) if isinstance(item, str) else item for item in several]
    for item, found in zip(files, several, strict=True):
        if (
            not isinstance(item, Mapping)
            or 'ann_file' not in item
            or not all(name in KEYS and isinstance(value, str | None) for name, value in item.items())
        ):
            raise ConfigError(
                f"{key}: found {found!r}, expected label files: names, or dicts such as dict(ann_file='test.csv'), "
                'with img_dir and subset where they differ'
            )
    return [dict(item) for item in files]
