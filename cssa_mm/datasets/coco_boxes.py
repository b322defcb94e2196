"""The boxes of a data set in COCO's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cssa_mm.datasets.readers.objects.instances import EXPECTED, id_text, name_of, without_polygons
from cssa_mm.datasets.readers.objects.json_stream import decoded, elements, pieces_of
from cssa_mm.errors import DataError
from cssa_mm.evaluation.pointing_game import ImageBoxes

if TYPE_CHECKING:
    from cssa_mm.datasets.coco import COCOMultiLabelDataset


def coco_boxes(dataset: COCOMultiLabelDataset) -> list[ImageBoxes]:
    """The boxes of each image of a data set by class, as its annotation has them; instances without a box are left out.

    Raises:
        DataError: an image has no size, or a box is not four numbers.
    """
    path = dataset.in_root(dataset.ann_file)
    names: dict[str, str] = {}
    sizes: dict[str, tuple[float, float]] = {}
    found: dict[str, list[tuple[str, list[float]]]] = {image_id: [] for image_id in dataset.image_ids}
    text = decoded(without_polygons(pieces_of(dataset, path, EXPECTED)), path, EXPECTED, 'utf-8-sig')
    for key, item in elements(text, ('images', 'annotations', 'categories'), path, EXPECTED, lambda key: None):
        try:
            if key == 'categories':
                names[id_text(item['id'])] = name_of(item, path)
            elif key == 'images' and id_text(item['id']) in found:
                sizes[id_text(item['id'])] = _size_of(item, path)
            elif key == 'annotations' and item.get('bbox') and id_text(item['image_id']) in found:
                found[id_text(item['image_id'])].append((id_text(item['category_id']), _corners_of(item['bbox'], path)))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f'{path}: found an entry of {key} without {error}, expected ids of numbers or texts; write it again.'
            ) from error
    result = []
    for image_id, instances in found.items():
        boxes: dict[int, list] = {}
        for category, corners in instances:
            boxes.setdefault(dataset.class_index.find(names[category], path), []).append(corners)
        result.append(ImageBoxes({label: np.array(corners) for label, corners in boxes.items()}, sizes[image_id]))
    return result


def _size_of(image: dict[str, Any], path: str) -> tuple[float, float]:
    try:
        return float(image['width']), float(image['height'])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DataError(
            f"{path}: found no size of the image {image['id']}, expected its 'width' and 'height'; add them."
        ) from None


def _corners_of(box: Any, path: str) -> list[float]:
    """Left, top, right, bottom of COCO's x, y, width, height."""
    try:
        left, top, width, height = map(float, box)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f'{path}: found the bbox {box!r}, expected four numbers: x, y, width, height.') from None
    return [left, top, left + width, top + height]
