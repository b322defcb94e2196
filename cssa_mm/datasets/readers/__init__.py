"""Readers of label files, one a format: how each is recognised, read, and tells unlabelled from none."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cssa_mm.datasets.readers.folders import read_folders
from cssa_mm.datasets.readers.label_studio import is_label_studio, read_label_studio
from cssa_mm.datasets.readers.label_table import LabelTable
from cssa_mm.datasets.readers.mmpretrain import is_mmpretrain, read_mmpretrain
from cssa_mm.datasets.readers.records import is_records, read_records
from cssa_mm.datasets.readers.sheets import is_sheet, read_sheet
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.datasets.readers.tables import is_table, read_table
from cssa_mm.errors import DataError


class Reader(NamedTuple):
    """A format of label files.

    Attributes:
        title: What people call it.
        recognises: Whether a source has this format, by its extension and content; it raises nothing.
        read: Reads it, or raises a DataError with file, place, what was found and what was expected.
        unlabelled: How an unlabelled image shows.
        none: How an image shows that has none of the classes.
        example: A short one.
    """

    title: str
    recognises: Callable[[LabelSource], bool]
    read: Callable[[LabelSource, ReadOptions], LabelTable]
    unlabelled: str
    none: str
    example: str


# In the order in which they are asked: the special before the general.
READERS: dict[str, Reader] = {
    'label_studio': Reader(
        title='Label Studio export (JSON)',
        recognises=is_label_studio,
        read=read_label_studio,
        unlabelled='a task without a finished annotation',
        none='an annotation without a result',
        example='[{"data": {"image": "1.jpg"}, "annotations": [{"result": [...]}]}]',
    ),
    'mmpretrain': Reader(
        title="mmpretrain's multi-label JSON",
        recognises=is_mmpretrain,
        read=read_mmpretrain,
        unlabelled='no gt_label, or null',
        none='an empty gt_label',
        example='{"metainfo": {"classes": ["cat"]}, "data_list": [{"img_path": "1.jpg", "gt_label": [0]}]}',
    ),
    'folders': Reader(
        title='a folder for each class',
        recognises=lambda source: source.is_folder,
        read=read_folders,
        unlabelled='an image directly in the directory',
        none='the folder none',
        example='photos/cat/1.jpg',
    ),
    'records': Reader(
        title='JSON lines, or a JSON list of entries',
        recognises=is_records,
        read=read_records,
        unlabelled='no field labels, or null',
        none='an empty list, or the word none',
        example='{"image": "1.jpg", "labels": ["cat", "dog"]}',
    ),
    'xlsx': Reader(
        title='Excel sheet (.xlsx)',
        recognises=is_sheet,
        read=read_sheet,
        unlabelled='a blank label cell, or no row',
        none='the word none, or 0 in each column of a class',
        example='image | labels',
    ),
    'csv': Reader(
        title='CSV, TSV or text table',
        recognises=is_table,
        read=read_table,
        unlabelled='a blank label cell, or no row',
        none='the word none, [], or 0 in each column of a class',
        example='image,labels',
    ),
}
FORMATS = tuple(READERS)


def read_labels(source: LabelSource, options: ReadOptions, format: str | None = None) -> LabelTable:
    """Read a label file in the format that is given, or in the first that recognises it.

    Raises:
        DataError: no reader recognises it, or it is broken.
    """
    name = format or next((name for name, reader in READERS.items() if reader.recognises(source)), None)
    if name is None:
        raise DataError(
            f"{source.path}: found no known form of labels in this '{source.suffix}' file, expected one of "
            f'{", ".join(reader.title for reader in READERS.values())}; save the labels as CSV (image,labels), or set '
            f'format to one of {", ".join(FORMATS)}.'
        )
    table = READERS[name].read(source, options)
    table.understanding.format = name
    return table
