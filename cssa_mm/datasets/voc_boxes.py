"""The boxes of a data set in Pascal VOC's form."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element  # nosec B405 # a type: defusedxml parses

import numpy as np

from cssa_mm.datasets.images.image_formats import open_image
from cssa_mm.datasets.readers.objects.voc_files import EXPECTED, size_in
from cssa_mm.datasets.readers.objects.xml_text import parse_xml
from cssa_mm.errors import DataError
from cssa_mm.evaluation.pointing_game import ImageBoxes

if TYPE_CHECKING:
    from cssa_mm.datasets.voc import VOCMultiLabelDataset


def voc_boxes(dataset: VOCMultiLabelDataset, image_id: str) -> ImageBoxes:
    """Boxes of an image by class, and its width and height, as its XML file has them; objects without box left out.

    A file without size, or of size 0 as labelImg writes at times, gets that of the image.

    Raises:
        DataError: the size is unknown, or a number of a box is missing.
    """
    path = dataset.annotation_path(image_id)
    if not dataset.backend(path).exists(path):
        return ImageBoxes({}, _size_of(dataset, image_id, path))
    root = parse_xml(dataset.read_bytes(path, EXPECTED), path, EXPECTED)
    boxes: dict[int, list] = {}
    for item in root.iter('object'):
        box = item.find('bndbox')
        if box is not None:
            left, top, right, bottom = (_number(box, key, path) for key in ('xmin', 'ymin', 'xmax', 'ymax'))
            # VOC counts pixels from 1, the last one included.
            corners = (left - 1, top - 1, right, bottom)
            boxes.setdefault(dataset.class_index.find(item.findtext('name', '').strip(), path), []).append(corners)
    size = size_in(root) or _size_of(dataset, image_id, path)
    return ImageBoxes({class_index: np.array(corners) for class_index, corners in boxes.items()}, size)


def _number(root: Element, key: str, path: str) -> float:
    text = root.findtext(key, '').strip()
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}: found '{text}' as {key}, expected a number; correct the file.") from None


def _size_of(dataset: VOCMultiLabelDataset, image_id: str, path: str) -> tuple[float, float]:
    image_path = dataset.img_paths[dataset.index_of(image_id)]
    try:
        with open_image(image_path) as image:
            return float(image.width), float(image.height)
    except OSError as error:
        raise DataError(
            f'{path}: found no size, and the image {image_path} cannot be read ({error}), expected one of both; '
            'correct the file.'
        ) from error
