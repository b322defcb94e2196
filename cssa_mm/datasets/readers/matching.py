"""Which images of a folder the rows of a label table describe."""

from __future__ import annotations

import os
import posixpath

from cssa_mm.datasets.checks import refuse_doubled_ids
from cssa_mm.datasets.image_folder import ImageFolder
from cssa_mm.datasets.readers.tables import LabelTable, TableRow
from cssa_mm.errors import DataError, nearest


def rows_by_image(table: LabelTable, folder: ImageFolder, source: str) -> list[tuple[str, TableRow]]:
    """The rows of a table with the ids of their images.

    Raises:
        DataError: A path leaves the folder, or an image is not there or listed twice.
    """
    rows = [(_id_of(row, table, folder), row) for row in table.rows]
    missing = [(image_id, row) for image_id, row in rows if image_id not in folder.image_ids]
    if missing:
        image_id, row = missing[0]
        name = posixpath.basename(image_id)
        hint = nearest(image_id, folder.image_ids)
        if name != image_id and name in folder.image_ids:
            hint = f" It is not '{name}', which lies in no folder of that path."
        raise DataError(
            f"{row.where}: found '{row.path}', but no such image in '{folder.root}' ({len(missing)} of {len(rows)} are "
            f'missing), expected every image that the table lists.{hint} Correct the path or img_dir, or add the image.'
        )
    refuse_doubled_ids([image_id for image_id, _ in rows], source)
    return rows


def _id_of(row: TableRow, table: LabelTable, folder: ImageFolder) -> str:
    name = table.find_image(row.path, folder)
    if posixpath.isabs(name):
        name = os.path.relpath(name, os.path.abspath(folder.root)).replace(os.sep, '/')
    if name.startswith('../'):
        raise DataError(
            f"{row.where}: found the path '{row.path}', which leaves the image folder '{folder.root}', expected one "
            f'below it; move the image there and correct the path.'
        )
    return name
