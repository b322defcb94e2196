"""Checks of a data set as a whole, once its annotations are read."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log

from cssa_mm.errors import DataError
from cssa_mm.names import one_form

_warned: set[str] = set()


def refuse_doubled_ids(image_ids: Sequence[str], source: str) -> None:
    """DataError, naming ``source``, when an image id occurs twice."""
    doubled = [image_id for image_id, count in Counter(image_ids).items() if count > 1]
    if doubled:
        raise DataError(
            f"{source}: found image id '{doubled[0]}' more than once ({len(doubled)} such ids), expected "
            f'each id once; remove the duplicates.'
        )


def names_on_disk(img_paths: Sequence[str]) -> list[str]:
    """Paths with the file name in the Unicode form that it has on the disk, where an annotation has another.

    A Mac may write the letters of `café` in another form than Windows. Only names beyond ASCII are looked up.
    """
    listed: dict[str, dict[str, str]] = {}
    found = []
    for path in img_paths:
        directory, name = os.path.split(path)
        if not name.isascii() and not os.path.exists(path) and os.path.isdir(directory or '.'):
            if directory not in listed:
                listed[directory] = {one_form(each): each for each in sorted(os.listdir(directory or '.'))}
            path = os.path.join(directory, listed[directory].get(one_form(name), name))
        found.append(path)
    return found


def refuse_missing_images(img_paths: Sequence[str]) -> None:
    """DataError when images are missing from a local directory, now rather than hours into the training.

    Directories are listed once instead of asking for each file, which network drives answer slowly. One that
    does not exist here, such as an address in a storage, is left to the image loader.
    """
    listed: dict[str, set[str] | None] = {}
    missing = []
    for path in img_paths:
        # File names of an annotation may hold subdirectories of their own.
        directory, name = os.path.split(path)
        if directory not in listed:
            is_local = os.path.isdir(directory or '.')
            listed[directory] = set(os.listdir(directory or '.')) if is_local else None
        names = listed[directory]
        if names is not None and name not in names:
            missing.append(path)
    if missing:
        raise DataError(
            f'{missing[0]}: found no such image ({len(missing)} of {len(img_paths)} are missing), expected '
            f'every image that the annotation lists; complete the download or correct the image directory.'
        )


def refuse_without_positives(labels: np.ndarray, where: str) -> None:
    """DataError, naming ``where``, when no test image shows any class: there is no figure to compute.

    Args:
        labels: Of the test images, int8 (n, C).
        where: File or config key that the message blames.
    """
    if not (labels == 1).any():
        raise DataError(
            f'{where}: found no class with a positive among the {len(labels)} test images, so that no figure can be '
            'computed; expected test images that show the classes.'
        )


def warn_about_classes_without_positives(labels: np.ndarray, class_names: Sequence[str], owner: str) -> None:
    """Warn, once a process, of the classes that no labelled image shows.

    Args:
        labels: What training may know, int8 (n, C).
        class_names: The C class names.
        owner: Name of the data set, for the message.
    """
    shown = (labels == 1).any(axis=0)
    missing = [name for name, is_shown in zip(class_names, shown, strict=True) if not is_shown]
    message = (
        f'{owner}: no labelled image shows {len(missing)} of the {len(class_names)} classes: '
        f'{", ".join(missing)}. Label some images of these, or expect zero-shot quality for them.'
    )
    if missing and message not in _warned:
        _warned.add(message)
        print_log(message, logger='current', level=logging.WARNING)
