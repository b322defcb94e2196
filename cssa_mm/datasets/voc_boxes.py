"""The boxes of a data set in Pascal VOC's form."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from cssa_mm.datasets.voc import VOCMultiLabelDataset
from cssa_mm.errors import DataError
from cssa_mm.evaluation.pointing_game import Boxes


def voc_boxes(dataset: VOCMultiLabelDataset, image_id: str) -> tuple[Boxes, tuple[float, float]]:
    """Boxes of an image by class, and its width and height, as its XML file has them; objects without box left out.

    Raises:
        DataError: the file has no size, or a number of a box is missing.
    """
    path = dataset.in_root('Annotations', f'{image_id}.xml')
    root = ElementTree.fromstring(dataset.read_text(path, 'the VOC annotation of an image'))
    boxes: dict[int, list] = {}
    for item in root.iter('object'):
        box = item.find('bndbox')
        if box is not None:
            left, top, right, bottom = (_number(box, key, path) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
            # VOC counts pixels from 1, the last one included.
            corners = (left - 1, top - 1, right, bottom)
            boxes.setdefault(dataset.class_index.find(item.findtext('name', '').strip(), path), []).append(corners)
    size = (_number(root, 'size/width', path), _number(root, 'size/height', path))
    return {class_index: np.array(corners) for class_index, corners in boxes.items()}, size


def _number(root: ElementTree.Element, key: str, path: str) -> float:
    text = root.findtext(key, '').strip()
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}: found '{text}' as {key}, expected a number; correct the file.") from None
