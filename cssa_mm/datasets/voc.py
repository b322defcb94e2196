"""Pascal VOC: multi-label annotation from the XML files of the detection task."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import ImageRecord, SemiMultiLabelDataset
from cssa_mm.errors import DataError

VOC_CLASSES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'dining table',
    'dog', 'horse', 'motorbike', 'person', 'potted plant', 'sheep', 'sofa', 'train', 'tv monitor',
)  # fmt: skip


@DATASETS.register_module()
class VOCMultiLabelDataset(SemiMultiLabelDataset):
    """Pascal VOC in its own directory layout; image ids are the file names without extension, sorted.

    Args:
        image_set: The list ``ImageSets/Main/<image_set>.txt`` to read.
        ignore_difficult: True: a class that shows in an image by objects marked difficult only is unknown
            there. False (default): they count like any other object.
        **base_options: The keys of :class:`SemiMultiLabelDataset`; ``data_root`` is the directory that holds
            ``Annotations``, ``ImageSets`` and ``JPEGImages``.
    """

    METAINFO = dict(classes=VOC_CLASSES)

    def __init__(self, image_set: str = 'train', ignore_difficult: bool = False, **base_options):
        self.image_set = image_set
        self.ignore_difficult = ignore_difficult
        super().__init__(**base_options)

    def load_images(self) -> list[ImageRecord]:
        """One record for each line of the image list."""
        path = self.in_root('ImageSets', 'Main', f'{self.image_set}.txt')
        lines = self.read_text(path, 'a VOC image list').splitlines()
        image_ids = sorted(line.split()[0] for line in lines if line.strip())
        return [
            ImageRecord(image_id, self.in_root('JPEGImages', f'{image_id}.jpg'), self._read_labels(image_id))
            for image_id in image_ids
        ]

    def _read_labels(self, image_id: str) -> np.ndarray:
        path = self.in_root('Annotations', f'{image_id}.xml')
        try:
            root = ElementTree.fromstring(self.read_text(path, 'the VOC annotation of an image'))
        except ElementTree.ParseError as error:
            raise DataError(
                f'{path}: found no valid XML ({error}), expected a VOC annotation; restore the file.'
            ) from error
        positives, difficult = [], []
        for item in root.iter('object'):
            is_ignored = self.ignore_difficult and item.findtext('difficult', '0').strip() == '1'
            (difficult if is_ignored else positives).append(item.findtext('name', '').strip())
        return self.class_index.labels(positives, path, unknown=difficult)
