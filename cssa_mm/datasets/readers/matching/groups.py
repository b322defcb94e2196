"""The group of each image, such as its video, which a split keeps on one side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.errors import DataError


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
    return one_group_each(image_ids, table.groups, table.understanding.source)


def one_group_each(images: Iterable[str], groups: Iterable[str], source: str) -> dict[str, str]:
    """Image -> group, of those that name one; a DataError, naming ``source``, where an image names several."""
    found: dict[str, str] = {}
    for image, group in zip(images, groups, strict=True):
        if group and found.setdefault(image, group) != group:
            raise DataError(
                f"{source}: found the image '{image}' in the groups '{found[image]}' and '{group}', expected one group "
                'an image, as group_column names it; correct the cell.'
            )
    return found
