"""Pascal VOC: multi-label annotation from the XML files of the detection task."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import ImageRecord, SemiMultiLabelDataset
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.readers.label_table import collect_names
from cssa_mm.datasets.readers.objects.unannotated import note_unannotated, note_without_files, resolve_unannotated
from cssa_mm.datasets.readers.objects.voc import xml_folder
from cssa_mm.datasets.readers.objects.voc_files import VocFile
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.datasets.voc_boxes import voc_boxes
from cssa_mm.datasets.voc_layout import Entry, all_entries, files_below, listed_entries
from cssa_mm.errors import DataError
from cssa_mm.evaluation.pointing_game import ImageBoxes
from cssa_mm.names import plain_name

VOC_CLASSES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'dining table',
    'dog', 'horse', 'motorbike', 'person', 'potted plant', 'sheep', 'sofa', 'train', 'tv monitor',
)  # fmt: skip


@DATASETS.register_module()
class VOCMultiLabelDataset(SemiMultiLabelDataset):
    """Pascal VOC in its own directory layout; image ids are the file names without extension, sorted.

    The years 2007 to 2012 share one layout, which annotation tools write too. Where there are no ``ImageSets``, all XML
    files of ``Annotations``, or beside the images, are read; images without one are unlabelled then.

    Args:
        image_set: The list ``ImageSets/Main/<image_set>.txt`` to read: train, val, trainval, test or another. None:
            all XML files.
        ignore_difficult: True: a class that shows in an image by objects marked difficult only is unknown
            there. False (default): they count like any other object.
        unannotated: What images are whose XML file has no object: 'negative' of every class, 'unlabelled' or 'drop',
            which leaves them out. None (default): an error, as VOC has none, and a lost annotation would teach the
            absence of objects that are there. Listed images without an XML file are errors unless they are to be
            'unlabelled' or to 'drop'.
        keep_empty: True is ``unannotated='negative'``.
        classes_from: Another directory with XML files, below ``data_root`` or absolute, that tells the classes: that of
            the training set, for a validation set.
        **base_options: The keys of :class:`SemiMultiLabelDataset`; ``data_root`` is the directory that holds
            ``Annotations``, ``ImageSets`` and ``JPEGImages``. Without ``class_names``, the classes are VOC's if the
            objects have no other names, else the names in all XML files, sorted.
    """

    METAINFO = dict(classes=VOC_CLASSES)

    def __init__(
        self,
        image_set: str | None = 'train',
        ignore_difficult: bool = False,
        unannotated: str | None = None,
        keep_empty: bool | None = None,
        classes_from: str | None = None,
        **base_options: Any,
    ) -> None:
        self.image_set = image_set
        self.ignore_difficult = ignore_difficult
        self.unannotated = resolve_unannotated(unannotated, keep_empty or None)
        self.classes_from = classes_from
        self._names_are_known = base_options.get('class_names') is not None
        self._read: list[Entry] | None = None
        self._xml_paths: dict[str, str] = {}
        super().__init__(**base_options)

    @property
    def class_names(self) -> list[str]:
        """The C class names, from the XML files where none were given."""
        if not self._names_are_known:
            self._metainfo['classes'] = self._names_in_files()
            self._names_are_known = True
        return super().class_names

    def load_images(self) -> list[ImageRecord]:
        """One record for each line of the image list, or for each image of the directory."""
        entries, self._read = self._entries(), None
        self._xml_paths = {entry.image_id: entry.file.path for entry in entries if entry.file is not None}
        understanding = self.understanding or Understanding(self.in_root())
        empty = [entry.image_id for entry in entries if entry.file is not None and not entry.file.objects]
        if empty and self.unannotated is None:
            raise DataError(
                f'{self.annotation_path(empty[0])}: found no object, expected at least one ({len(empty)} of '
                f'{len(entries)} images have none); annotate the image, take it from the list, or set keep_empty=True '
                "(unannotated='negative') where such images show none of the classes, or unannotated='unlabelled' "
                'where nobody has annotated them yet.'
            )
        note_unannotated(understanding, empty, len(entries), self.unannotated or '', 'object')
        blank = [entry.image_id for entry in entries if entry.file is None]
        option = 'drop' if self.unannotated == 'drop' or self.test_mode else 'unlabelled'
        note_without_files(understanding, blank, len(entries), option)
        return [
            ImageRecord(entry.image_id, entry.img_path, self._labels_of(entry.file))
            for entry in entries
            if not (entry.file is None and option == 'drop')
            and not (entry.file is not None and not entry.file.objects and self.unannotated == 'drop')
        ]

    def annotation_path(self, image_id: str) -> str:
        """The XML file of an image."""
        return self._xml_paths.get(image_id) or self.in_root('Annotations', f'{image_id}.xml')

    def boxes(self) -> list[ImageBoxes]:
        """The boxes of each image, read from its XML file: see `voc_boxes`."""
        return [voc_boxes(self, image_id) for image_id in self.image_ids]

    def _labels_of(self, file: VocFile | None) -> np.ndarray:
        if file is None or (not file.objects and self.unannotated == 'unlabelled'):
            return np.full(len(self.class_names), UNKNOWN, dtype=np.int8)
        names: dict[bool, list[str]] = {True: [], False: []}
        for name, is_difficult in file.objects:
            names[is_difficult and self.ignore_difficult].append(name)
        return self.class_index.labels(names[False], file.path, unknown=names[True])

    def _names_in_files(self) -> tuple[str, ...]:
        if self.classes_from is None:
            files = [entry.file for entry in self._entries() if entry.file is not None]
        else:
            files = files_below(self, self.in_root(self.classes_from))
        names = [name for file in files for name, _ in file.objects]
        own = {plain_name(name) for name in VOC_CLASSES}
        if all(plain_name(name) in own for name in names):
            return VOC_CLASSES
        if self.classes_from is None and self.is_local:  # so that all image sets have the same
            names = [name for file in files_below(self, self.in_root()) for name, _ in file.objects]
        return tuple(collect_names(names))

    def _entries(self) -> list[Entry]:
        if self._read is None:
            self.understanding = Understanding(self.in_root(), format='voc')
            has_lists = not self.is_local or os.path.isdir(self.in_root('ImageSets'))
            if self.image_set is not None and (has_lists or xml_folder(self.in_root() or '.') is None):
                self._read = listed_entries(self, self.image_set, self.unannotated in ('unlabelled', 'drop'))
            else:
                self._read = all_entries(self, self.understanding)
        return self._read
