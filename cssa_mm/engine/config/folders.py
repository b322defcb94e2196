"""The folders that a run writes into: made, or refused, before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from cssa_mm.folders import writable_folder

FOLDERS = ('work_dir', 'default_hooks.pseudo_labels.feature_cache.folder', 'default_hooks.checkpoint.out_dir')


def check_folders(config: Config) -> None:
    """Make the folders of a config that lie on this machine.

    Raises:
        ConfigError: one is a file, lies below one, or cannot be written to.
    """
    for key in FOLDERS:
        value: Any = config
        for part in key.split('.'):
            value = value.get(part) if isinstance(value, Mapping | Config) else None
        if value is not None and '://' not in str(value):
            writable_folder(value, key)
