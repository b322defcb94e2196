"""Files of the same content below a directory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable, Mapping, Sequence

START = 1 << 16


def copies_among(paths: Mapping[str, str]) -> list[list[str]]:
    """Groups of names whose files hold the same bytes, in the order of ``paths``; a file that can't be read has none.

    Args:
        paths: Path of a local file by its name.
    """
    groups = [list(paths)]
    for sign in (_size, lambda path: _digest(path, START), lambda path: _digest(path, -1)):
        groups = [part for names in groups for part in _parts(names, paths, sign)]
    return groups


def _parts(names: Sequence[str], paths: Mapping[str, str], sign: Callable[[str], Hashable]) -> list[list[str]]:
    parts: dict[Hashable, list[str]] = {}
    for name in names:
        try:
            parts.setdefault(sign(paths[name]), []).append(name)
        except OSError:  # said where the images are read
            continue
    return [part for key, part in parts.items() if key and len(part) > 1]


def _size(path: str) -> int:
    """Empty files are no copies of each other."""
    return os.stat(path).st_size


def _digest(path: str, length: int) -> bytes:
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read(length)).digest()
