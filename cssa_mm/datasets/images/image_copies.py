"""Images of other folders, linked or copied into one under names of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from cssa_mm.errors import DataError
from cssa_mm.names import one_form


def flat_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """A name for each of n images in one folder: the file name; that with its folders where two would be the same.

    Names that differ in case or Unicode form only are the same: some disks take them for one file.
    """
    names = [os.path.basename(path) for path in paths]
    if len({one_form(name).casefold() for name in names}) == len(names):
        return names
    common = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    return [os.path.relpath(os.path.abspath(path), common).replace(os.sep, '/') for path in paths]


def place_images(paths: Sequence[str | os.PathLike], names: Sequence[str], root: Path, is_copied: bool) -> list[str]:
    """Put n images below a folder, under their new names.

    Args:
        paths: The files.
        names: Their names below ``root``.
        root: The folder.
        is_copied: Copy them. Otherwise they are linked: hard where the disk can, which needs no space and outlives a
            move of the source, else by a symbolic link.

    Returns:
        What was done: 'hard links', 'symbolic links', 'copies', or several of them.

    Raises:
        DataError: A file cannot be read or written.
    """
    kinds: dict[str, None] = {}
    root.mkdir(parents=True, exist_ok=True)
    for path, name in tqdm(zip(paths, names, strict=True), 'Images', len(names), leave=False, disable=len(names) < 100):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            kinds[_place(os.path.realpath(path), target, is_copied)] = None
        except OSError as error:
            raise DataError(
                f'{path}: cannot be put into {root} ({error.strerror or error}), expected a file that can be read and '
                f'room for it; check both.'
            ) from error
    return list(kinds)


def _place(path: str, target: Path, is_copied: bool) -> str:
    if is_copied:
        shutil.copyfile(path, target)
        return 'copies'
    try:
        os.link(path, target)
        return 'hard links'
    except OSError:  # another disk, or one without links
        pass
    try:
        target.symlink_to(path)
        return 'symbolic links'
    except OSError:
        return _place(path, target, is_copied=True)
