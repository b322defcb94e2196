"""Your own photos: a folder of images, and a label file of any common form that labels some of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Annotated, Any

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.datasets.class_words import decode_class_words
from cssa_mm.datasets.image_table import UNKNOWN, ImageRecord
from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.label_files import label_files
from cssa_mm.datasets.readers import FORMATS, read_labels
from cssa_mm.datasets.readers.label_table import SPELLINGS, LabelTable
from cssa_mm.datasets.readers.matching.groups import groups_of
from cssa_mm.datasets.readers.matching.joining import images_of, join_rows
from cssa_mm.datasets.readers.source import LabelSource, ReadOptions
from cssa_mm.errors import DataError
from cssa_mm.values import OneOf, check_values

CLASS_FILES = ('classes.csv', 'classes.txt')
SAYS = ('unknown', 'no')


@DATASETS.register_module()
class TableDataset(SemiMultiLabelDataset):
    """Images of a folder with the labels of a file; image ids are paths relative to the folder, sorted.

    ``docs/formats.md`` lists the forms that are read, and how each tells unlabelled images from those that show none of
    the classes. An image of which no label is known is unlabelled, as are those of the folder that no row mentions.

    Args:
        img_dir: Directory of the images, below ``data_root``. None: that of the label file if it holds images,
            else ``images``, ``JPEGImages`` or ``data_root``, the first that is there.
        format: One of ``docs/formats.md``; None decides by content.
        image_column: Column or field with the image; None finds it by its name and content.
        label_column: Column, field or question with the labels; None finds it. Where there is none, each column is a
            class.
        label_separators: Characters, each of which separates class names in a cell; None finds them.
        none_word: The words (labels, folders) that say 'none of the classes'.
        unknown_word: Further words that say 'unlabelled', beside a blank, nan, N/A and -.
        blank: What a blank cell says in a table with a column a class: 'unknown' or 'no'.
        minus_one: What -1 says there: 'unknown' or 'no'.
        delimiter: Character between the columns; None finds it.
        encoding: Of a text file; None finds it.
        ignore_columns: Columns that are no class.
        group_column: Column of videos, patients or bursts, which a drawn split and ``validation`` keep together.
        unannotated: What an image without annotation is, in formats of objects: 'unlabelled' (the default in training),
            'negative' (in a test set) or 'drop'.
        subset: Part of a file that holds several, such as 'train' of YOLO's data.yaml.
        include_unlisted: Whether images that no row mentions are part of the set; never in ``test_mode``.
        held_out: Label files of test images, which training leaves out: names, or dicts of ``ann_file``, ``img_dir``
            and ``subset``. A file may be missing.
        classes_from: Files below ``data_root``; the first that exists defines the classes, unless ``class_names``
            does: a ``.txt`` with one name a line, a ``classes.csv`` (name,prompt), or a label file, also with
            its ``subset`` as in ``held_out``. None: classes.csv, classes.txt, ``ann_file``.
        **base_options: The keys of :class:`SemiMultiLabelDataset`.

    Raises:
        DataError: The file cannot be read, names images that are not there or classes that are not known, shares
            images with ``held_out``, or labels no image.
    """

    _own_table: tuple[LabelTable, ImageFolder] | None = None  # read for its class names, until the images are loaded
    _tells_classes = False  # whether the classes come from the label file itself

    def __init__(
        self,
        img_dir: str | None = None,
        format: Annotated[str, OneOf(tuple(FORMATS))] | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        label_separators: str | None = None,
        none_word: str | Sequence[str] = 'none',
        unknown_word: str | Sequence[str] = (),
        blank: Annotated[str, OneOf(SAYS)] | None = None,
        minus_one: Annotated[str, OneOf(SAYS)] | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        ignore_columns: str | Sequence[str] = (),
        group_column: str | None = None,
        unannotated: Annotated[str, OneOf(('unlabelled', 'negative', 'drop'))] | None = None,
        subset: str | None = None,
        include_unlisted: bool = True,
        held_out: str | Mapping | Sequence | None = None,
        classes_from: str | Mapping | Sequence | None = None,
        **base_options: Any,
    ) -> None:
        check_values(TableDataset.__init__, locals())
        self.img_dir = img_dir
        self.format = format
        self.options = ReadOptions(
            image_column=image_column,
            label_column=label_column,
            label_separators=label_separators,
            none_word=_several(none_word),
            unknown_word=_several(unknown_word),
            blank=blank,
            minus_one=minus_one,
            delimiter=delimiter,
            encoding=encoding,
            ignore_columns=_several(ignore_columns),
            group_column=group_column,
            unannotated=unannotated,
            subset=subset,
        )
        self.include_unlisted = include_unlisted
        self.held_out = label_files('held_out', held_out or [])
        self.classes_from = None if classes_from is None else label_files('classes_from', classes_from)
        if unannotated is None:  # before the files are read
            self.options.unannotated = 'negative' if base_options.get('test_mode') else 'unlabelled'
        super().__init__(**base_options)

    @property
    def class_names(self) -> list[str]:
        """The C class names, read from their file where none were given."""
        if not self._metainfo.get('classes'):
            self._find_classes(self._class_file())
        return super().class_names

    def load_images(self) -> list[ImageRecord]:
        """One record for each image that the file labels and, in training, for each other image of the folder."""
        path = self.in_root(self.ann_file)
        # Where this file tells the classes, it has been read already.
        read, self._own_table = self._own_table, None
        table, folder = read or self._read(path, self.img_dir, self.options.subset)
        help_text = f' To add a class, write all of them, one a line, into {self.in_root("classes.txt")}.'
        image_ids = images_of(table, folder)
        self.groups = groups_of(table, image_ids, self.options.group_column, is_needed=not self.test_mode)
        found = join_rows(table, image_ids, table.labels_of(self.class_index, help_text))
        self.named_ids = frozenset(found)
        labelled = {image_id for image_id, labels in found.items() if (labels != UNKNOWN).any()}
        if not labelled:
            raise DataError(f'{path}: {_nothing_labelled(len(found))}')
        if not self.test_mode:
            table.understanding.left_out |= folder.left_out
            if self.include_unlisted:
                unknown = np.full(len(self.class_names), UNKNOWN, dtype=np.int8)
                found = dict.fromkeys(folder.image_ids, unknown) | found
            found = self._without_held_out(found, labelled, folder, path)
        return [
            ImageRecord(image_id, os.path.join(folder.root, folder.path_of(image_id)), found[image_id])
            for image_id in sorted(found)
        ]

    def _class_file(self) -> tuple[str, str | None]:
        """The file that tells the classes, and the part of it."""
        own = self.in_root(self.ann_file), self.options.subset
        names = [dict(ann_file=name) for name in CLASS_FILES] if self.classes_from is None else self.classes_from
        files = [(self.in_root(item['ann_file']), item.get('subset')) for item in names]
        found = next((file for file in files if self.backend(file[0]).exists(file[0])), None)
        if found is None and self.classes_from and self.backend(own[0]).exists(own[0]):
            shown = ', '.join(item['ann_file'] for item in names)
            raise DataError(f'classes_from: found none of {shown} in {self.data_root}, expected one; correct the name')
        return found or own

    def _find_classes(self, file: tuple[str, str | None]) -> None:
        """Take the classes of a class file, or of a label file."""
        (path, subset), own = file, (self.in_root(self.ann_file), self.options.subset)
        if path != own[0] and self._is_class_file(path):
            self.set_classes(path)
            return
        table, folder = self._read(path, self.img_dir, subset)
        if not table.class_names:
            raise DataError(f'{path}: {_nothing_labelled(len(table))}')
        if file == own:
            self._own_table, self._tells_classes = (table, folder), True
        self._metainfo['classes'] = tuple(table.class_names)

    def _is_class_file(self, path: str) -> bool:
        suffix = PurePath(path).suffix.lower()
        if suffix in ('.csv', '.tsv', '.json'):
            return decode_class_words(self.read_bytes(path, 'a label or class file'), path) is not None
        return suffix == '.txt'

    def _read(self, path: str, img_dir: str | None, subset: str | None) -> tuple[LabelTable, ImageFolder]:
        expected = 'a label file'
        is_own = path == self.in_root(self.ann_file)
        if self.test_mode and is_own:
            expected = 'a label file of test images like that of the training (to train without one: --no-validate)'
        # Classes that were found in this file are no evidence on how to read it: what was doubtful stays so.
        known = () if is_own and self._tells_classes else tuple(self._metainfo.get('classes', ()))
        options = replace(self.options, subset=subset, class_names=known, may_lack=self.test_mode or not is_own)
        source = LabelSource(self, path, img_dir, expected)
        table = read_labels(source, options, self.format)
        if known:  # whoever lists the classes has said which are one
            table.understanding.questions = [q for q in table.understanding.questions if q.kind != SPELLINGS]
        if is_own and subset == self.options.subset:
            self.understanding = table.understanding
        return table, table.folder or source.images

    def _without_held_out(
        self, found: dict[str, np.ndarray], labelled: Collection[str], folder: ImageFolder, path: str
    ) -> dict[str, np.ndarray]:
        """The images that no held-out file lists; none of those may be labelled here."""
        paths = {image_id: _real(folder, image_id) for image_id in found}
        for options in self.held_out:
            other = self.in_root(options['ann_file'])
            if not options['ann_file'] or not self.backend(other).exists(other):
                continue
            table, images = self._read(other, options.get('img_dir', self.img_dir), options.get('subset'))
            tested = {_real(images, image_id) for image_id in images_of(table, images)}
            shared = sorted(image_id for image_id in labelled if paths[image_id] in tested)
            if shared:
                raise DataError(
                    f"{path}: found image '{shared[0]}', which {other} lists too ({len(shared)} such images), expected "
                    f'no image in both training and test; remove them from one of the files.'
                )
            found = {image_id: labels for image_id, labels in found.items() if paths[image_id] not in tested}
        return found


def _real(folder: ImageFolder, image_id: str) -> str:
    return os.path.normpath(os.path.join(folder.root, folder.path_of(image_id)))


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _nothing_labelled(rows: int) -> str:
    found = f'found {rows} rows and no label in any, expected at least one labelled image'
    return f'{found}; write class names into the label column, or 1 and 0 into those of the classes.'
