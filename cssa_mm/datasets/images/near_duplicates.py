"""Images that look the same: bursts, frames of a film, resized and newly saved copies, by a hash of their looks.

The hash is of 128 bits: the usual DCT hash ("pHash"), which knows the layout, beside the usual difference hash
("dHash"), which knows the edges; our own lines. 64 bits alone take about one in a million pairs of other photos for
copies; both together took none of 8.7 million pairs of VOC and COCO at `MAX_DISTANCE`, and found 99 of 100 copies that
were resized, saved as JPEG again, brightened, or cut by 3 of 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from cssa_mm.datasets.images.image_facts import ImageFacts

MAX_DISTANCE = 20  # bits that differ between copies at most
SIDE, WAVES = 32, 8
FLAT = 4.0  # standard deviation of the small grey copy below which an image shows nothing but a ground
BITS = 128
BLOCK = 256  # images compared at a time
TILES = 4  # a side, of the colours that copies share
SAME_COLOUR = 16  # of 255, the mean difference of the tiles of copies at most


def _dct(size: int, kept: int) -> np.ndarray:
    """The lowest waves (kept, size) of the discrete cosine transform, without the constant one."""
    rows, columns = np.mgrid[1 : kept + 1, 0:size]
    return np.cos(np.pi * rows * (2 * columns + 1) / (2 * size))


BASIS = _dct(SIDE, WAVES)


def look_of(pixels: np.ndarray) -> int | None:
    """The 128-bit hash of an image, uint8 (H, W, 3); None of one that shows nothing but a ground."""
    grey = Image.fromarray(pixels).convert('L')
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0), dtype=np.float64)
    if small.std() < FLAT:
        return None
    waves = BASIS @ small @ BASIS.T
    steps = np.asarray(grey.resize((9, 8), Image.Resampling.BOX, reducing_gap=2.0), dtype=np.int16)
    bits = np.concatenate([(waves > np.median(waves)).ravel(), (steps[:, 1:] > steps[:, :-1]).ravel()])
    return int.from_bytes(np.packbits(bits).tobytes(), 'big')


def colours_of(pixels: np.ndarray) -> bytes:
    """Mean colours of 4 x 4 tiles of an image, uint8 (H, W, 3): to grey hashes, drawings of one shape are copies."""
    return Image.fromarray(pixels).resize((TILES, TILES), Image.Resampling.BOX, reducing_gap=2.0).tobytes()


def near_duplicates(
    looks: Sequence[int | None], others: Sequence[int | None], max_distance: int = MAX_DISTANCE
) -> list[tuple[int, int]]:
    """All pairs (position in ``looks``, position in ``others``) whose hashes differ in at most ``max_distance`` bits.

    Every pair is compared, so the answer is exact; images without a hash are in no pair. A hundred thousand images
    against ten thousand take some seconds.
    """
    rows, signs = _signs(looks)
    columns, other_signs = _signs(others)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(rows), BLOCK):
        # Equal bits minus differing ones, exact in float32.
        near_rows, near_columns = np.nonzero(signs[start : start + BLOCK] @ other_signs.T >= BITS - 2 * max_distance)
        pairs += zip(rows[start + near_rows].tolist(), columns[near_columns].tolist(), strict=True)
    return pairs


def near_duplicates_of(
    facts: Sequence[ImageFacts], others: Sequence[ImageFacts], max_distance: int = MAX_DISTANCE
) -> list[tuple[int, int]]:
    """The pairs of :func:`near_duplicates` between two sets of images that have the same colours, too.

    Files that are the same byte by byte are no near-duplicates.

    Examples:
        >>> near_duplicates_of([], [])
        []
    """
    pairs = near_duplicates([each.look for each in facts], [each.look for each in others], max_distance)
    return [
        (row, column)
        for row, column in pairs
        if facts[row].digest != others[column].digest and _same_colours(facts[row].colours, others[column].colours)
    ]


def _same_colours(first: bytes, second: bytes) -> bool:
    if not first or not second:
        return True
    colours = [np.frombuffer(each, dtype=np.uint8).astype(np.int16) for each in (first, second)]
    return float(np.abs(colours[0] - colours[1]).mean()) <= SAME_COLOUR


def _signs(looks: Sequence[int | None]) -> tuple[np.ndarray, np.ndarray]:
    """The positions (n,) of those with a hash, and its bits as 1 and -1, float32 (n, 128)."""
    positions = [position for position, look in enumerate(looks) if look is not None]
    content = b''.join(look.to_bytes(BITS // 8, 'big') for look in looks if look is not None)
    bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8)).reshape(-1, BITS)
    return np.array(positions, dtype=np.int64), bits.astype(np.float32) * 2 - 1
