"""The pointing game: does the peak of a class's map fall into a box of that class?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cssa_mm.errors import DataError

# One image: class -> its boxes (k, 4), left, top, right, bottom in pixels from the corner of the image.
Boxes = Mapping[int, np.ndarray]


class ImageBoxes(NamedTuple):
    """The boxes of an image by class, and the width and height of the image, in the pixels of the boxes."""

    boxes: Boxes
    size: tuple[float, float]


def middles(count: int) -> np.ndarray:
    """The middles (n,) of n equal parts of a side, as shares of it."""
    return (np.arange(count) + 0.5) / count


def hits(
    attention: np.ndarray,
    boxes: Sequence[Boxes],
    sizes: np.ndarray | Sequence,
    tolerance: float = 0.0,
    centres: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Which maps point at their class: 1 hit, 0 miss, nan where an image has no box of the class.

    A map points at the centre of its highest cell, stretched over the whole image whatever its aspect ratio. Equal
    peaks share the hit. So a constant map gives the chance of a random cell, and a map of one cell the image centre.

    Args:
        attention: maps (B, C, h, w), without a global token.
        boxes: of each of the B images; their edges belong to them.
        sizes: width and height (B, 2) of the images, in the pixels of the boxes.
        tolerance: pixels by which a point may miss its box, to each side.
        centres: of the rows (h,) and columns (w,) of cells, as shares of the image's sides; by default their middles.

    Returns:
        Hits (B, C), float64.

    Raises:
        DataError: the maps are not (B, C, h, w), or boxes or sizes are not those of B images.
    """
    attention, sizes = np.asarray(attention), np.asarray(sizes, np.float64).reshape(-1, 2)
    if attention.ndim != 4 or not len(attention) == len(boxes) == len(sizes):
        raise DataError(
            f'pointing game: found maps of shape {attention.shape}, boxes of {len(boxes)} and sizes of {len(sizes)} '
            'images, expected maps (B, C, h, w), boxes and sizes of the same B images'
        )
    height, width = attention.shape[2:]
    rows, columns = (middles(height), middles(width)) if centres is None else centres
    result = np.full(attention.shape[:2], np.nan)
    for image, (of_image, (image_width, image_height)) in enumerate(zip(boxes, sizes, strict=True)):
        x, y = columns * image_width, rows * image_height
        for class_index, of_class in of_image.items():
            inside = np.zeros((height, width), bool)
            for left, top, right, bottom in of_class:
                in_columns = (left - tolerance <= x) & (x <= right + tolerance)
                inside |= np.outer((top - tolerance <= y) & (y <= bottom + tolerance), in_columns)
            cells = attention[image, class_index]
            result[image, class_index] = inside[cells == cells.max()].mean()
    return result


def chance(
    boxes: Sequence[Boxes],
    sizes: np.ndarray | Sequence,
    num_classes: int,
    grid: tuple[int, int],
    tolerance: float = 0.0,
) -> np.ndarray:
    """Expected hits (B, C) of a random cell of a grid (h, w), nan without boxes; (1, 1) is the image centre."""
    return hits(np.zeros((len(boxes), num_classes, *grid)), boxes, sizes, tolerance)


def wilson_interval(rate: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share that was found in `count` independent trials; 95 % for the default z."""
    if count == 0:
        return float('nan'), float('nan')
    middle = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(rate * (1 - rate) / count + z**2 / (4 * count**2))
    return float(middle - half), float(middle + half)
