"""Images that are in two sets: the same file, by whatever path, or another file with the same bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

SAMPLE = 4096  # bytes from the middle of a file: equal for hardly any two photos of the same size
THREADS = 16  # network disks answer slowly, but many at once
# Published sets hold a few photos twice. More of them than this share of the test set is a leak.
TOLERATED = 0.005

Value = TypeVar('Value')


class Overlap(NamedTuple):
    """Pairs (training path, test path): the same file, and another file with the same bytes."""

    same_file: list[tuple[str, str]]
    same_bytes: list[tuple[str, str]]


def overlap_of(train: Sequence[str], test: Sequence[str], is_local: bool = True) -> Overlap:
    """The images of a test set that are in the training set, too.

    Files are compared by device and inode, then by size, a sample of 4 KiB and last by SHA-256, so that hardly any
    is read. Images in a storage are compared by their addresses alone; files that are not there are left out.

    Args:
        train: Paths of the training images.
        test: Paths of the test images.
        is_local: Whether they are on this machine.
    """
    if not is_local:
        known = {os.path.normpath(path): path for path in train}
        return Overlap([(known[key], path) for path in test if (key := os.path.normpath(path)) in known], [])
    with ThreadPoolExecutor(THREADS) as pool:

        def look(paths: Iterable[str], function: Callable[[str], Value | None]) -> dict[str, Value]:
            paths = list(dict.fromkeys(paths))
            found = zip(paths, pool.map(function, paths), strict=True)
            return {path: value for path, value in found if value is not None}

        trained, tested = look(train, _stat), look(test, _stat)
        by_file = {file: path for path, (file, _) in reversed(trained.items())}
        same_file = [(by_file[file], path) for path, (file, _) in tested.items() if file in by_file]
        shared = {path for _, path in same_file}
        # What is equal so far, in both sets.
        left: dict[str, Hashable] = {path: size for path, (_, size) in trained.items()}
        right: dict[str, Hashable] = {path: size for path, (_, size) in tested.items() if path not in shared}
        for function in (sample_of, digest_of):
            common = set(left.values()) & set(right.values())
            left = look([path for path, key in left.items() if key in common], function)
            right = look([path for path, key in right.items() if key in common], function)
    by_digest = {digest: path for path, digest in reversed(left.items())}
    return Overlap(same_file, [(by_digest[digest], path) for path, digest in right.items() if digest in by_digest])


def is_tolerated(num_shared: int, num_test: int) -> bool:
    """Whether so few photos are twice that figures hardly change, as in published sets."""
    return num_shared <= TOLERATED * num_test


def _stat(path: str) -> tuple[Hashable, int] | None:
    """What tells the file from all others, and its size."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path), found.st_size


def sample_of(path: str) -> Hashable:
    """Size and some bytes of a file; None where it can't be read."""
    try:
        size = os.path.getsize(path)
        with open(path, 'rb') as file:
            file.seek(max(size // 2 - SAMPLE // 2, 0))
            return size, file.read(SAMPLE)
    except OSError:
        return None


def digest_of(path: str) -> Hashable:
    """The hash of all bytes of a file; None where it can't be read."""
    hasher = hashlib.sha256()
    try:
        with open(path, 'rb') as file:
            while block := file.read(2**20):
                hasher.update(block)
    except OSError:
        return None
    return hasher.digest()
