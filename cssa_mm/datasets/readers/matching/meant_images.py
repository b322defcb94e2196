"""The images that a written path can mean, for the readers that look for images themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.readers.matching.image_finder import MISSING, Found, ImageFinder
from cssa_mm.datasets.readers.matching.written_paths import readings_of


def find_meant(path: str, finder: ImageFinder) -> Found:
    """Where a path leads by the first of its readings that leads anywhere."""
    for written in readings_of(path):
        found = finder.find(written)
        if found.image_id is not None or found.others:
            return found
    return MISSING


def images_meant(path: str, finder: ImageFinder) -> list[str]:
    """The ids of the images that a path can mean: one, several or none."""
    found = find_meant(path, finder)
    return list(found.others) if found.image_id is None else [found.image_id]


def without_images(folder: ImageFolder, paths: Iterable[str]) -> ImageFolder:
    """The folder without the images that these written paths mean."""
    finder = ImageFinder(folder)
    dropped = {find_meant(path, finder).image_id for path in paths}
    return kept_images(folder, (image_id for image_id in folder.image_ids if image_id not in dropped))


def kept_images(folder: ImageFolder, image_ids: Iterable[str]) -> ImageFolder:
    """The folder with some of its images."""
    return replace(folder, image_ids={image_id: folder.image_ids[image_id] for image_id in image_ids})
