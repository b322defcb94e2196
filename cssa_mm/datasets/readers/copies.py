"""Files of the same content below a directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence

from cssa_mm.datasets.images.overlap import digest_of, sample_of


def copies_among(paths: Mapping[str, str]) -> list[list[str]]:
    """Groups of names whose files hold the same bytes, in the order of ``paths``; a file that can't be read has none.

    Args:
        paths: Path of a local file by its name.
    """
    groups = [list(paths)]
    for sign in (_size, sample_of, digest_of):
        groups = [part for names in groups for part in _parts(names, paths, sign)]
    return groups


def _parts(names: Sequence[str], paths: Mapping[str, str], sign: Callable[[str], Hashable]) -> list[list[str]]:
    parts: dict[Hashable, list[str]] = {}
    for name in names:
        parts.setdefault(sign(paths[name]), []).append(name)
    return [part for key, part in parts.items() if key and len(part) > 1]


def _size(path: str) -> Hashable:
    """Empty files are no copies of each other; one that can't be read is said where the images are."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None
