"""Images that look the same: bursts, frames of a film, resized and newly saved copies, by a hash of their looks.

The hash is the DCT hash that is usual for this ("pHash"), 64 bits, in our own lines.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE, KEPT = 32, 8
FLAT = 4.0  # an image whose small grey copy has a smaller standard deviation has no look


def _dct_matrix(size: int, kept: int) -> np.ndarray:
    rows, columns = np.mgrid[1 : kept + 1, 0:size]
    return np.cos(np.pi * rows * (2 * columns + 1) / (2 * size))


BASIS = _dct_matrix(SIDE, KEPT)


def look_of(pixels: np.ndarray) -> int | None:
    """The 64-bit hash of an image uint8 (H, W, 3); None of one that shows nothing but a ground."""
    small = Image.fromarray(pixels).convert('L').resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    grey = np.asarray(small, dtype=np.float64)
    if grey.std() < FLAT:
        return None
    waves = BASIS @ grey @ BASIS.T
    bits = (waves > np.median(waves)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), 'big')
