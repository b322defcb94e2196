"""Your own photos: a folder of images, and a table that labels some of them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.datasets.class_index import ClassIndex
from cssa_mm.datasets.image_folder import ImageFolder, list_images
from cssa_mm.datasets.image_table import UNKNOWN, ImageRecord
from cssa_mm.datasets.readers.label_studio import read_label_studio
from cssa_mm.datasets.readers.matching import rows_by_image
from cssa_mm.datasets.readers.tables import (
    Columns,
    LabelTable,
    TableRow,
    read_csv,
    read_folders,
    read_mmpretrain,
)
from cssa_mm.errors import ConfigError, DataError, nearest

FORMATS = ('csv', 'mmpretrain', 'label_studio', 'folders')


@DATASETS.register_module()
class TableDataset(SemiMultiLabelDataset):
    """Images of a folder with the labels of a table; image ids are paths relative to the folder, sorted.

    The table is one of

    - ``csv``: a CSV or TSV file with a header. Either one column of class names (``cat;dog``), where a blank cell
      leaves the image unlabelled and ``none`` says that it shows none of the classes; or one column a class, where 1
      is positive, 0 negative, and blank or -1 unknown (partial labels).
    - ``mmpretrain``: its multi-label JSON, ``metainfo.classes`` and ``data_list`` of ``img_path`` and ``gt_label``.
    - ``label_studio``: Label Studio's JSON export of choices, rectangles or other labelled regions.
    - ``folders``: ``ann_file`` is a directory with a folder for each class, for single labels; images directly in it
      are unlabelled. Ids count from ``data_root`` then.

    An image of which no label is known is unlabelled, as are those of the folder that no row mentions.

    Args:
        img_dir: Directory of the images, below ``data_root``.
        format: One of the above; None decides by the file's extension and content.
        image_column: Column (CSV) or field of ``data`` (Label Studio) with the image path.
        label_column: Column with the class names. Where the header lacks it, each column is a class.
        label_separators: Characters, each of which separates class names in a cell.
        none_word: A label (or folder) that says 'none of the classes'.
        delimiter: Character between the columns; None finds it in the header.
        include_unlisted: Whether images that no row mentions are part of the set; never in ``test_mode``.
        held_out: Another table that lists the test images; training leaves them out. The file may be missing.
        classes_from: Files below ``data_root``; the first that exists defines the classes, unless ``class_names``
            does: a ``.txt`` with one name a line, or a table (a test set needs the table of its training set). The
            default is ``ann_file``.
        **base_options: The keys of :class:`SemiMultiLabelDataset`.

    Raises:
        DataError: The table cannot be read, names images that are not there or classes that are not known, shares
            images with ``held_out``, or leaves no labelled or (in training, without a split) no unlabelled image.
    """

    def __init__(
        self,
        img_dir: str = '',
        format: str | None = None,
        image_column: str = 'image',
        label_column: str = 'labels',
        label_separators: str = ';,|',
        none_word: str = 'none',
        delimiter: str | None = None,
        include_unlisted: bool = True,
        held_out: str = '',
        classes_from: Sequence[str] = (),
        **base_options: Any,
    ) -> None:
        if format is not None and format not in FORMATS:
            raise ConfigError(
                f"format: found '{format}', expected one of {', '.join(FORMATS)}.{nearest(format, FORMATS)}"
            )
        self.img_dir = img_dir
        self.format = format
        self.columns = Columns(image_column, label_column, label_separators, none_word, delimiter)
        self.include_unlisted = include_unlisted
        self.held_out = held_out
        self.classes_from = tuple(classes_from)
        super().__init__(**base_options)

    @property
    def class_names(self) -> list[str]:
        """The C class names, read from their file where none were given."""
        if not self._metainfo.get('classes'):
            paths = [self.in_root(name) for name in self.classes_from or [self.ann_file]]
            path = next((path for path in paths if self._backend(path).exists(path)), paths[-1])
            self._metainfo['classes'] = self._class_names_of(path)
        return list(self._metainfo['classes'])

    def load_images(self) -> list[ImageRecord]:
        """One record for each row and, in training, for each other image of the folder."""
        path = self.in_root(self.ann_file)
        folder = self._folder_of(path)
        rows = rows_by_image(self._read_table(path, self.class_index), folder, path)
        found = {image_id: self._labels_of(row) for image_id, row in rows}
        labelled = [image_id for image_id, labels in found.items() if (labels != UNKNOWN).any()]
        if not labelled:
            raise DataError(f'{path}: {_nothing_labelled(len(found))}')
        if not self.test_mode:
            if self.include_unlisted:
                unknown = np.full(len(self.class_names), UNKNOWN, dtype=np.int8)
                found = {image_id: unknown for image_id in folder.image_ids} | found
            for image_id in self._held_out_ids(labelled, path):
                found.pop(image_id, None)
            self._require_unlabelled(len(labelled), len(found), path)
        return [
            ImageRecord(image_id, os.path.join(folder.root, folder.path_of(image_id)), found[image_id])
            for image_id in sorted(found)
        ]

    def _labels_of(self, row: TableRow) -> np.ndarray:
        try:
            return row.to_array(self.class_index)
        except DataError as error:
            lists = [name for name in self.classes_from if name.endswith('.txt')]
            place = self.in_root(lists[0]) if lists else 'a file that class_names names'
            raise DataError(f'{error} To add a class, write all of them, one a line, into {place}.') from error

    def _held_out_ids(self, labelled: Sequence[str], path: str) -> set[str]:
        """Images of the held-out table; none of them may be a labelled one of this table."""
        other = self.in_root(self.held_out)
        if not self.held_out or not self._backend(other).exists(other):
            return set()
        rows = rows_by_image(self._read_table(other, self.class_index), self._folder_of(other), other)
        held_out = {image_id for image_id, _ in rows}
        shared = sorted(held_out.intersection(labelled))
        if shared:
            raise DataError(
                f"{path}: found image '{shared[0]}', which {other} lists too ({len(shared)} such images), expected no "
                f'image in both training and test; remove them from one of the tables.'
            )
        return held_out

    def _require_unlabelled(self, labelled: int, total: int, path: str) -> None:
        if labelled == total and self.include_unlisted and self._split_option is None and self.part == 'all':
            raise DataError(
                f'{path}: found a label for each of the {total} images, expected some without; add unlabelled photos, '
                f'or give a split, or set include_unlisted=False to train on labels alone (train_cfg.semi_epochs=0).'
            )

    def _class_names_of(self, path: str) -> tuple[str, ...]:
        if path != self.in_root(self.ann_file) and path.endswith('.txt'):
            return self._read_class_names(path)
        table = self._read_table(path)
        if not table.class_names:
            raise DataError(f'{path}: {_nothing_labelled(len(table.rows))}')
        return tuple(table.class_names)

    def _read_table(self, path: str, known: ClassIndex | None = None) -> LabelTable:
        if self._is_folders(path):
            folder = self._folder_of(path)
            return read_folders(list(folder.image_ids), folder.prefix, path, self.columns.none_word)
        suffix = PurePath(path).suffix.lower()
        if self.format == 'csv' or (self.format is None and suffix in ('.csv', '.tsv', '.txt')):
            return read_csv(self._read_table_text(path), path, self.columns, known)
        if self.format is None and suffix != '.json':
            raise DataError(
                f"{path}: found the extension '{suffix}', expected .csv, .tsv, .json or a directory; save the table as "
                f'CSV (UTF-8), or set format to one of {", ".join(FORMATS)}.'
            )
        content = self._read_json(path)
        if self.format == 'label_studio' or (self.format is None and isinstance(content, list)):
            return read_label_studio(content, path, self.columns.image_column, self.columns.none_word)
        return read_mmpretrain(content, path)

    def _read_json(self, path: str) -> object:
        text = self._read_table_text(path)
        try:
            return json.loads(text)
        except ValueError as error:
            raise DataError(
                f"{path}: found no valid JSON ({error}), expected mmpretrain's multi-label form or a Label Studio "
                f'export; write or export it again.'
            ) from error

    def _read_table_text(self, path: str) -> str:
        expected = 'a table of labelled images'
        if self.test_mode and path == self.in_root(self.ann_file):
            expected = 'a table of test images like that of the training (to train without one: --no-validate)'
        return self.read_text(path, expected)

    def _is_folders(self, path: str) -> bool:
        if self.format is not None:
            return self.format == 'folders'
        return self.is_local and os.path.isdir(path)

    def _folder_of(self, path: str) -> ImageFolder:
        """The images that a table can list; where it is a directory, its own."""
        if self._is_folders(path):
            directory = os.path.relpath(path, self.data_root or '.')
            return list_images(self._backend(path), self.data_root, directory)
        root = self.in_root(self.img_dir)
        return list_images(self._backend(root), root)


def _nothing_labelled(rows: int) -> str:
    return (
        f'found {rows} rows and no label in any, expected at least one labelled image; write class names into the '
        f'label column, or 1 and 0 into those of the classes.'
    )
