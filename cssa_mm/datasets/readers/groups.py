"""The group of each image, such as its video, which a split keeps on one side."""

from __future__ import annotations

from collections.abc import Sequence

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
    found: dict[str, str] = {}
    for row, (image_id, group) in enumerate(zip(image_ids, table.groups, strict=True)):
        if group and found.setdefault(image_id, group) != group:
            raise DataError(
                f"{table.where(row)}: found image id '{image_id}' in the group '{group}' of the column '{column}', and "
                f"in '{found[image_id]}' before, expected one group an image; correct the cell."
            )
    return found
