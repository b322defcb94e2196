"""Pascal VOC: multi-label annotation from the XML files of the detection task."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import ImageRecord, SemiMultiLabelDataset
from cssa_mm.datasets.checks import refuse_doubled_ids
from cssa_mm.errors import DataError

VOC_CLASSES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'dining table',
    'dog', 'horse', 'motorbike', 'person', 'potted plant', 'sheep', 'sofa', 'train', 'tv monitor',
)  # fmt: skip


@DATASETS.register_module()
class VOCMultiLabelDataset(SemiMultiLabelDataset):
    """Pascal VOC in its own directory layout; image ids are the file names without extension, sorted.

    The years 2007 to 2012 share one layout, which annotation tools write too.

    Args:
        image_set: The list ``ImageSets/Main/<image_set>.txt`` to read: train, val, trainval, test or another.
        ignore_difficult: True: a class that shows in an image by objects marked difficult only is unknown
            there. False (default): they count like any other object.
        keep_empty: True: images without any object are negatives of every class. False (default): they are
            errors, as VOC has none, and a lost annotation would teach the absence of objects that are there.
        **base_options: The keys of :class:`SemiMultiLabelDataset`; ``data_root`` is the directory that holds
            ``Annotations``, ``ImageSets`` and ``JPEGImages``.
    """

    METAINFO = dict(classes=VOC_CLASSES)

    def __init__(
        self, image_set: str = 'train', ignore_difficult: bool = False, keep_empty: bool = False, **base_options: Any
    ) -> None:
        self.image_set = image_set
        self.ignore_difficult = ignore_difficult
        self.keep_empty = keep_empty
        super().__init__(**base_options)

    def load_images(self) -> list[ImageRecord]:
        """One record for each line of the image list."""
        path = self.in_root('ImageSets', 'Main', f'{self.image_set}.txt')
        lines = self.read_text(path, 'a VOC image list').splitlines()
        image_ids = sorted(line.split()[0] for line in lines if line.strip())
        refuse_doubled_ids(image_ids, path)
        img_paths = [self.image_path('JPEGImages', f'{image_id}.jpg', path) for image_id in image_ids]
        return [
            ImageRecord(image_id, img_path, self._read_labels(image_id))
            for image_id, img_path in zip(image_ids, img_paths, strict=True)
        ]

    def _read_labels(self, image_id: str) -> np.ndarray:
        path = self.in_root('Annotations', f'{image_id}.xml')
        try:
            root = ElementTree.fromstring(self.read_text(path, 'the VOC annotation of an image'))
        except ElementTree.ParseError as error:
            raise DataError(
                f'{path}: found no valid XML ({error}), expected a VOC annotation; restore the file.'
            ) from error
        objects = list(root.iter('object'))
        if not objects and not self.keep_empty:
            raise DataError(
                f'{path}: found no object, expected at least one; annotate the image, take it from the list, or set '
                f'keep_empty=True where such images show none of the classes.'
            )
        positives: list[str] = []
        difficult: list[str] = []
        for item in objects:
            is_ignored = self.ignore_difficult and item.findtext('difficult', '0').strip() == '1'
            (difficult if is_ignored else positives).append(item.findtext('name', '').strip())
        return self.class_index.labels(positives, path, unknown=difficult)
