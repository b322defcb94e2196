"""Which images of a folder the rows of a label table describe."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence

import numpy as np

from cssa_mm.datasets.image_folder import ImageFolder
from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.errors import DataError, nearest


def images_of(table: LabelTable, folder: ImageFolder) -> list[str]:
    """The image id of each of the n rows of a table.

    Raises:
        DataError: A path leaves the folder, or an image is not there.
    """
    image_ids = [_id_of(path, row, table, folder) for row, path in enumerate(table.paths)]
    missing = [row for row, image_id in enumerate(image_ids) if image_id not in folder.image_ids]
    if missing:
        row = missing[0]
        name = posixpath.basename(image_ids[row])
        hint = nearest(image_ids[row], folder.image_ids)
        if name != image_ids[row] and name in folder.image_ids:
            hint = f" It is not '{name}', which lies in no folder of that path."
        raise DataError(
            f"{table.where(row)}: found '{table.paths[row]}', but no such image in '{folder.root}' ({len(missing)} of "
            f'{len(image_ids)} are missing), expected every image that the file lists.{hint} Correct the path or '
            'img_dir, or add the image.'
        )
    return image_ids


def join_rows(table: LabelTable, image_ids: Sequence[str], labels: np.ndarray) -> dict[str, np.ndarray]:
    """The labels (C,) of each image, those of its rows together: a positive counts, then a negative, then unknown.

    Args:
        table: n rows.
        image_ids: The image of each row.
        labels: Their labels, int8 (n, C).

    Raises:
        DataError: Rows of one image differ in a table that has one row an image.
    """
    first: dict[str, int] = {}
    joined = labels.copy()
    for row, image_id in enumerate(image_ids):
        start = first.setdefault(image_id, row)
        if start == row:
            continue
        if not table.is_split and not np.array_equal(labels[start], labels[row]):
            raise DataError(
                f"{table.where(row)}: found image id '{image_id}' again, with other labels than in "
                f'{table.where(start)}, expected one row an image; remove the wrong row.'
            )
        joined[start] = np.maximum(joined[start], labels[row])
    return {image_id: joined[row] for image_id, row in first.items()}


def groups_of(
    table: LabelTable, image_ids: Sequence[str], column: str | None, is_needed: bool = True
) -> dict[str, str] | None:
    """Image id -> group, of the rows that name one; None where no ``column`` is asked for.

    Args:
        table: n rows.
        image_ids: The image of each row.
        column: The key ``group_column``.
        is_needed: Whether the file must have the column; a test set may lack it.

    Raises:
        DataError: The file has no such column, or rows of one image name different groups.
    """
    if column is None or (table.groups is None and not is_needed):
        return None
    if table.groups is None:
        raise DataError(
            f"{table.understanding.source}: found no column '{column}', which group_column names, expected one with "
            'the group of each image; correct the header line or group_column.'
        )
    found: dict[str, str] = {}
    for row, (image_id, group) in enumerate(zip(image_ids, table.groups, strict=True)):
        if group and found.setdefault(image_id, group) != group:
            raise DataError(
                f"{table.where(row)}: found image id '{image_id}' in the group '{group}' of the column '{column}', and "
                f"in '{found[image_id]}' before, expected one group an image; correct the cell."
            )
    return found


def _id_of(path: str, row: int, table: LabelTable, folder: ImageFolder) -> str:
    name = table.find_image(path, folder)
    if posixpath.isabs(name):
        name = os.path.relpath(name, os.path.abspath(folder.root)).replace(os.sep, '/')
    if name.startswith('../'):
        raise DataError(
            f"{table.where(row)}: found the path '{path}', which leaves the image folder '{folder.root}', expected one "
            f'below it; move the image there and correct the path.'
        )
    return name
