"""COCO: multi-label annotation from the instances of a detection JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import ImageRecord, SemiMultiLabelDataset
from cssa_mm.datasets.checks import refuse_doubled_ids
from cssa_mm.errors import DataError

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
NEEDED_KEYS = {'images', 'annotations', 'categories', 'id', 'file_name', 'image_id', 'category_id', 'name'}
PIECE = 2**22
# Greedy, up to the last bracket before the next key or the end of the instance.
POLYGONS = re.compile(rb'"segmentation"\s*:\s*\[[-+.\deE,\s\[\]]*\]')


@DATASETS.register_module()
class COCOMultiLabelDataset(SemiMultiLabelDataset):
    """Any annotation in COCO's form: a class is positive where the image has an instance of it.

    Image ids are those of the JSON as strings and are sorted as strings ('10' comes before '9'), as CAP's
    splits count them. Crowd instances count. Classes stand in the order of ``class_names``, by default that
    of COCO's category ids.

    Args:
        img_dir: Directory of the images, below ``data_root``.
        keep_empty: True: images without any instance stay, as negatives of every class. False (default):
            they are left out, as in the splits of the field.
        **base_options: The keys of :class:`SemiMultiLabelDataset`; ``ann_file`` is the instances JSON.
    """

    METAINFO: dict[str, Any] = dict(classes=COCO_CLASSES)

    def __init__(self, img_dir: str = '', keep_empty: bool = False, **base_options: Any) -> None:
        self.img_dir = img_dir
        self.keep_empty = keep_empty
        super().__init__(**base_options)

    def load_images(self) -> list[ImageRecord]:
        """One record for each image that has an instance (for each image, with ``keep_empty``)."""
        path = self.in_root(self.ann_file)
        annotation = self._read_json(path)
        try:
            columns = self._columns(annotation['categories'], path)
            refuse_doubled_ids([str(image['id']) for image in annotation['images']], path)
            images = {str(image['id']): str(image['file_name']) for image in annotation['images']}
            instances = [(str(item['image_id']), item['category_id']) for item in annotation['annotations']]
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{path}: found no usable entry for {error}, expected COCO's 'images', 'annotations' and "
                f"'categories' with ids; give an instances file."
            ) from error
        rows = {image_id: index for index, image_id in enumerate(sorted(images))}
        labels = np.zeros((len(rows), len(self.class_names)), dtype=np.int8)
        for image_id, category in instances:
            if image_id not in rows or category not in columns:
                kind = f"image '{image_id}'" if image_id not in rows else f"category '{category}'"
                raise DataError(
                    f'{path}: found an instance of the unknown {kind}, expected one that the file lists; '
                    f'repair the annotation.'
                )
            labels[rows[image_id], columns[category]] = 1
        return [
            ImageRecord(image_id, self.image_path(self.img_dir, images[image_id], path), labels[index])
            for image_id, index in rows.items()
            if self.keep_empty or labels[index].any()
        ]

    def _read_json(self, path: str) -> dict:
        text = self.read_text(path, 'an instances JSON in COCO form', _without_polygons)
        try:
            annotation = json.loads(text, object_hook=_needed_keys)
        except json.JSONDecodeError as error:
            raise DataError(
                f'{path}: found no valid JSON ({error.msg} in line {error.lineno}), expected an instances JSON in '
                f'COCO form; download or write it again.'
            ) from error
        if not isinstance(annotation, dict):
            raise DataError(
                f'{path}: found a {type(annotation).__name__} at the top, expected an object with images, '
                f'annotations and categories; give an instances file.'
            )
        return annotation

    def _columns(self, categories: list[dict], path: str) -> dict[int, int]:
        """Category id -> class index; both sides must name the same classes."""
        ordered = sorted(categories, key=lambda category: category['id'])
        columns = {category['id']: self.class_index.find(category['name'], path) for category in ordered}
        self.class_index.check_complete([category['name'] for category in ordered], path)
        return columns


def _without_polygons(content: bytes) -> Iterator[bytes]:
    """The JSON without its polygons, in pieces: a third of COCO's 330 MB, which needs little memory to parse.

    Lines keep their numbers, for the messages of the parser.
    """
    start = 0
    while start < len(content):
        # Never cut through a polygon.
        end = content.find(b'"segmentation"', start + PIECE)
        end = len(content) if end < 0 else end
        yield POLYGONS.sub(lambda match: b'"segmentation":0' + b'\n' * match[0].count(b'\n'), content[start:end])
        start = end


def _needed_keys(item: dict) -> dict:
    return {key: value for key, value in item.items() if key in NEEDED_KEYS}
