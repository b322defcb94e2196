"""COCO: multi-label annotation from the instances of a detection JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import ImageRecord, SemiMultiLabelDataset
from cssa_mm.datasets.coco_boxes import coco_boxes
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.images.named_images import find_written
from cssa_mm.datasets.last_instances import LastInstances
from cssa_mm.datasets.readers.objects.coco import labels_of
from cssa_mm.datasets.readers.objects.instances import Instances
from cssa_mm.datasets.readers.objects.unannotated import (
    LABEL,
    ask_about_undeclared,
    note_unannotated,
    note_unseen,
    resolve_unannotated,
)
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.evaluation.pointing_game import ImageBoxes
from cssa_mm.names import plain_name

COCO_CLASSES = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'traffic light',
    'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep', 'cow',
    'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee',
    'skis', 'snowboard', 'sports ball', 'kite', 'baseball bat', 'baseball glove', 'skateboard', 'surfboard',
    'tennis racket', 'bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple',
    'sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch',
    'potted plant', 'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard',
    'cell phone', 'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book', 'clock', 'vase', 'scissors',
    'teddy bear', 'hair drier', 'toothbrush',
)  # fmt: skip
last_instances = LastInstances()


@DATASETS.register_module()
class COCOMultiLabelDataset(SemiMultiLabelDataset):
    """Any annotation in COCO's form: a class is positive where the image has an instance of it.

    Image ids are those of the JSON as strings and are sorted as strings ('10' comes before '9'), as CAP's
    splits count them. Crowd instances count. Categories without an instance matter only where ``class_names`` has them.

    Args:
        img_dir: Directory of the images, below ``data_root``. File names that another machine wrote are found there by
            their longest end.
        unannotated: What images without any instance are: 'drop' (default) leaves them out, as in the splits of the
            field; 'unlabelled' suits an annotation that is not finished; 'negative' says that they show no class.
        keep_empty: True is ``unannotated='negative'``, False 'drop'.
        classes_from: Another annotation below ``data_root`` that tells the classes: that of the training set, for a
            validation set.
        **base_options: The keys of :class:`SemiMultiLabelDataset`; ``ann_file`` is the instances JSON. Without
            ``class_names``, the classes are COCO's if the file declares all of them, else the categories that have an
            instance, in the order of their ids.
    """

    METAINFO: dict[str, Any] = dict(classes=COCO_CLASSES)

    def __init__(
        self,
        img_dir: str = '',
        unannotated: str | None = None,
        keep_empty: bool | None = None,
        classes_from: str | None = None,
        **base_options: Any,
    ) -> None:
        self.img_dir = img_dir
        self.unannotated = resolve_unannotated(unannotated, keep_empty) or 'drop'
        self.classes_from = classes_from
        self._names_are_known = base_options.get('class_names') is not None
        super().__init__(**base_options)

    @property
    def class_names(self) -> list[str]:
        """The C class names, from the annotation where none were given."""
        if not self._names_are_known:
            declared, shown = last_instances.names_in(self, self.in_root(self.classes_from or self.ann_file))
            known = {plain_name(name) for name in declared}
            own = self.METAINFO['classes']
            self._metainfo['classes'] = own if all(plain_name(name) in known for name in own) else shown
            self._names_are_known = True
        return super().class_names

    def load_images(self) -> list[ImageRecord]:
        """One record for each image, or for each that has an instance, in the order of the ids."""
        path = self.in_root(self.ann_file)
        instances = last_instances.take(self, path)
        self.understanding = Understanding(path, format='coco')
        note_unseen(self.understanding, instances.names, self.class_names)
        self._check_classes(instances, path)
        names, found = find_written(self, self.img_dir, instances.file_names, path)
        if found:
            self.understanding.facts['images'] = (
                f"{len(found)} of {len(names)} file names were found by their end: '{next(iter(found))}' is "
                f"'{next(iter(found.values()))}'"
            )
        blank = np.flatnonzero(~instances.is_annotated)
        without = [instances.file_names[row] for row in blank]
        note_unannotated(self.understanding, without, len(names), self.unannotated, 'annotation')
        labels = labels_of(instances, self.class_names)
        labels[blank] = LABEL.get(self.unannotated, UNKNOWN)
        ids = instances.image_ids
        return [
            ImageRecord(ids[row], names[row], labels[row])
            for row in sorted(range(len(ids)), key=ids.__getitem__)
            if instances.is_annotated[row] or self.unannotated != 'drop'
        ]

    def boxes(self) -> list[ImageBoxes]:
        """The boxes of each image, read from the annotation: see `coco_boxes`."""
        return coco_boxes(self)

    def declared(self, names: list[str]) -> list[str]:
        """The names of the classes that an annotation with categories of these names was made for."""
        return names

    def _check_classes(self, instances: Instances, path: str) -> None:
        """Each category that is shown must be a class, and each class a category."""
        for name in instances.shown_names():
            self.class_index.find(name, path)
        declared = self.declared(instances.names)
        if self.classes_from is None:
            self.class_index.check_complete(declared, path)
        elif self.understanding is not None:
            ask_about_undeclared(self.understanding, self.class_names, declared)
