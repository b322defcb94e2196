"""Small copies of photos for pages: JPEG of the pixels alone, without EXIF and the place of the photo."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image


class Quality(NamedTuple):
    """The longer side of a copy in pixels, and the quality of its JPEG."""

    side: int
    quality: int


# From the best to the last: at about 150, 90, 60, 35 and 15 kB.
LADDER = (Quality(1024, 82), Quality(800, 80), Quality(640, 76), Quality(480, 72), Quality(320, 65))


def thumbnail(pixels: np.ndarray, most_bytes: int) -> bytes:
    """The best JPEG of an image that has at most some bytes; the smallest one if none has.

    Args:
        pixels: uint8 (H, W, 3), RGB, upright.
        most_bytes: of the JPEG.
    """
    image = Image.fromarray(pixels)
    result = b''
    for side, quality in LADDER:
        small = image.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        small.save(file, 'JPEG', quality=quality, optimize=True)
        result = file.getvalue()
        if len(result) <= most_bytes:
            break
    return result
