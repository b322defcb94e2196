"""The images of a folder."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from functools import cached_property

from mmengine.fileio import BaseStorageBackend

from cssa_mm.errors import DataError

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.gif', '.tif', '.tiff', '.ppm', '.pgm')


@dataclass(frozen=True)
class ImageFolder:
    """The images that a table can list: sorted ids, which are paths relative to ``root`` with forward slashes.

    All of them start with ``prefix``: '' or, where only a directory of the root counts, its name and a slash.
    """

    root: str
    prefix: str
    image_ids: dict[str, None]  # a dict for its order and its speed

    def path_of(self, image_id: str) -> str:
        """The path of an image as it is on the disk, relative to ``root``."""
        return image_id

    @cached_property
    def name(self) -> str:
        """The last part of ``root``."""
        root = self.root if '://' in self.root else os.path.abspath(self.root)
        return posixpath.basename(root.replace(os.sep, '/').rstrip('/'))

    @cached_property
    def directories(self) -> set[str]:
        """Every directory below ``root`` that holds images, as a relative path; '' for the root itself."""
        return {posixpath.dirname(image_id) for image_id in self.image_ids}


def list_images(backend: BaseStorageBackend, root: str, directory: str = '.') -> ImageFolder:
    """List the images below a directory of ``root``.

    Raises:
        DataError: The directory is missing, or in a storage that lists nothing.
    """
    directory = posixpath.normpath(directory.replace(os.sep, '/'))
    prefix = '' if directory == '.' else f'{directory}/'
    folder = os.path.join(root, directory) if prefix else root
    try:
        names = list(backend.list_dir_or_file(folder or '.', list_dir=False, recursive=True))
    except (OSError, AttributeError) as error:  # storages such as HTTP have no such method
        raise DataError(
            f'{folder}: cannot be listed ({getattr(error, "strerror", None) or error}), expected the directory of the '
            f'images; check data_root and img_dir.'
        ) from error
    images = (name.replace(os.sep, '/') for name in names if name.lower().endswith(IMAGE_SUFFIXES))
    return ImageFolder(root, prefix, dict.fromkeys(sorted(f'{prefix}{name}' for name in images)))
