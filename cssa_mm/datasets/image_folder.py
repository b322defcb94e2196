"""The images of a folder, and which of them the rows of a label table mean."""

from __future__ import annotations

import os
import posixpath
from typing import NamedTuple

from mmengine.fileio import BaseStorageBackend

from cssa_mm.datasets.checks import refuse_doubled_ids
from cssa_mm.datasets.readers.tables import LabelTable, TableRow
from cssa_mm.errors import DataError, nearest

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.gif', '.tif', '.tiff', '.ppm', '.pgm')


class ImageFolder(NamedTuple):
    """The images that a table can list: sorted ids, which are paths relative to ``root`` with forward slashes.

    All of them start with ``prefix``: '' or, where only a directory of the root counts, its name and a slash.
    """

    root: str
    prefix: str
    image_ids: dict[str, None]  # a dict for its order and its speed


def list_images(backend: BaseStorageBackend, root: str, directory: str = '.') -> ImageFolder:
    """List the images below a directory of ``root``.

    Raises:
        DataError: the directory is missing, or in a storage that lists nothing.
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


def rows_by_image(table: LabelTable, folder: ImageFolder, source: str) -> list[tuple[str, TableRow]]:
    """The rows of a table with the ids of their images.

    Raises:
        DataError: a path leaves the folder, or an image is not there or listed twice.
    """
    rows = [(_id_of(row, table, folder), row) for row in table.rows]
    missing = [(image_id, row) for image_id, row in rows if image_id not in folder.image_ids]
    if missing:
        image_id, row = missing[0]
        raise DataError(
            f"{row.where}: found '{row.path}', but no such image in '{folder.root}' ({len(missing)} of {len(rows)} are "
            f'missing), expected every image that the table lists.{nearest(image_id, folder.image_ids)} Correct the '
            f'path or img_dir, or add the image.'
        )
    refuse_doubled_ids([image_id for image_id, _ in rows], source)
    return rows


def _id_of(row: TableRow, table: LabelTable, folder: ImageFolder) -> str:
    name = table.find_image(row.path, folder.image_ids)
    if posixpath.isabs(name):
        name = os.path.relpath(name, os.path.abspath(folder.root)).replace(os.sep, '/')
    if name.startswith('../'):
        raise DataError(
            f"{row.where}: found the path '{row.path}', which leaves the image folder '{folder.root}', expected one "
            f'below it; move the image there and correct the path.'
        )
    return name
