"""The images that an annotation names, wherever it was written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

from cssa_mm.datasets.data_root import DataRoot
from cssa_mm.datasets.images.image_folder import list_images
from cssa_mm.datasets.readers.matching.image_finder import ImageFinder
from cssa_mm.datasets.readers.matching.meant_images import find_meant
from cssa_mm.errors import DataError


def find_written(files: DataRoot, img_dir: str, names: Sequence[str], source: str) -> tuple[list[str], dict[str, str]]:
    """The paths of n images, and those of them that were found by the end of what is written.

    A name is a path below ``img_dir``, whatever its separators. Where none lies there, it may stem from another
    machine: the longest end of it that leads to exactly one image of the directory counts, unless another name leads
    there, too. Where the directory has others below it, an end without any counts only if all such names lack the same.

    Args:
        files: The data set.
        img_dir: Directory of the images, as the config gives it.
        names: The n names, as written.
        source: The annotation, for messages.

    Raises:
        DataError: A name leaves the data root, and no end of it leads to an image.
    """
    paths: list[str] = []
    refused: dict[int, DataError] = {}
    for row, name in enumerate(names):
        try:
            paths.append(files.image_path(img_dir, name.replace('\\', '/'), source))
        except DataError as error:
            refused[row] = error
            paths.append('')
    root = files.in_root(img_dir)
    if not files.is_local or not os.path.isdir(root or '.'):
        absent: list[int] = []
    else:
        absent = [row for row, is_there in enumerate(are_there(paths)) if not is_there]
    found: dict[str, str] = {}
    if absent:
        folder = list_images(files.backend(root), root)
        finder = ImageFinder(folder)
        ends = {row: find_meant(names[row], finder) for row in absent}
        is_common = len({end.cut for end in ends.values()}) == 1
        taken = Counter(paths)
        meant = {
            row: os.path.join(root, folder.path_of(end.image_id))
            for row, end in ends.items()
            if end.image_id is not None and (is_common or not end.is_open)
        }
        taken.update(meant.values())
        for row, path in meant.items():
            if taken[path] == 1:
                paths[row] = found[names[row]] = path
                refused.pop(row, None)
    if refused:
        raise next(iter(refused.values()))
    return paths, found


def are_there(paths: Sequence[str]) -> list[bool]:
    """Whether each file exists, by listing directories once: network drives answer slowly."""
    listed: dict[str, set[str]] = {}
    answers = []
    for path in paths:
        directory, name = os.path.split(path)
        if directory not in listed:
            is_there = os.path.isdir(directory or '.')
            listed[directory] = set(os.listdir(directory or '.')) if is_there else set()
        answers.append(bool(path) and name in listed[directory])
    return answers
