"""Folders that results go to: made, or refused in one line before anything is computed for them."""

from __future__ import annotations

import os
from pathlib import Path

from cssa_mm.errors import ConfigError


def writable_folder(path: str | os.PathLike, key: str) -> Path:
    """Make a folder, with those above it.

    Args:
        path: the folder.
        key: what a message names: the key or option that gave the path.

    Raises:
        ConfigError: it is a file, lies below one, or cannot be written to.
    """
    folder = Path(path)
    if any('\ud800' <= letter <= '\udfff' for letter in str(path)):
        raise ConfigError(f'{key}: found {ascii(str(path))}, whose name is no UTF-8, expected one that is; rename it')
    reason = 'it is not writable'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = _reason(folder, error)
    raise ConfigError(f"{key}: found '{path}' ({reason}), expected a folder that can be written to; name another")


def _reason(folder: Path, error: Exception) -> str:
    above = next((parent for parent in (folder, *folder.parents) if parent.is_file()), None)
    if above is not None:
        return 'it is a file' if above == folder else f"'{above}' is a file"
    return getattr(error, 'strerror', None) or str(error)
