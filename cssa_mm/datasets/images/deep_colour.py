"""Colour images of 16 bits a colour, of which Pillow keeps the upper 8: what the lower ones say."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from cssa_mm.datasets.images.bit_depth import WHOLE, scale_to_8bit
from cssa_mm.datasets.images.image_formats import open_image

RAW_MODE = re.compile(
    '((?:RGB|RGBA|RGBX);16)([BLN])'
)  # Pillow's names of 16 bits a colour and the order of their bytes
OTHER_ORDER = dict(B='L', L='B', N='B' if sys.byteorder == 'little' else 'L')


@dataclass(frozen=True)
class DeepColour:
    """The bytes of a file with 16 bits a colour, and Pillow's name of the other order of their bytes."""

    content: bytes
    raw_mode: str

    def scaled(self, upper: Image.Image, info: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray | None, str]:
        """Pixels uint8 (H, W, 3), alpha (H, W) if any, and the rule of their scaling.

        Args:
            upper: the image as Pillow decodes it, upright. Its pixels are the result where they use all bits.
            info: as :func:`scale_to_8bit` takes it.
        """
        high = np.array(upper)
        colours = high[:, :, :3]
        key = upper.info.get('transparency')
        says = info.get('bits') not in (None, 'float') or info.get('white')
        if high.size and (says or key is not None or colours.max() < 64):
            values = high.astype(np.uint16) * 256 + np.array(self._lower())
            low_colours, rule = scale_to_8bit(values[:, :, :3], info)
            if 'whole range' not in rule:
                colours = low_colours
            alpha = self._alpha(values, high, rule, info)
            if isinstance(key, tuple) and len(key) == 3:
                alpha = np.where((values[:, :, :3] == np.array(key)).all(axis=2), 0, 255)
        else:
            rule = scale_to_8bit(np.array([WHOLE], np.uint16), {})[1]
            alpha = high[:, :, 3] if high.shape[2] == 4 else None
        return np.ascontiguousarray(colours), alpha, rule

    def _lower(self) -> Image.Image:
        """The image of the lower bytes: the same file, read in the other order."""
        with open_image(io.BytesIO(self.content)) as image:
            image.tile = [_with_raw_mode(tile, self.raw_mode) for tile in image.tile]
            image.load()
            return ImageOps.exif_transpose(image)

    @staticmethod
    def _alpha(values: np.ndarray, high: np.ndarray, rule: str, info: Mapping[str, Any]) -> np.ndarray | None:
        if values.shape[2] < 4:
            return None
        # Writers that leave 12 bits as they are leave those of alpha, too.
        if 'whole range' in rule or values[:, :, 3].max() > 4 * values[:, :, :3].max():
            return high[:, :, 3]
        return scale_to_8bit(values, info)[0][:, :, 3]


def deep_colour(image: Image.Image, content: bytes) -> DeepColour | None:
    """What to read of an image's lower bytes; None where it has none. Call it before the image is loaded."""
    tiles = getattr(image, 'tile', None) or []
    found = {RAW_MODE.fullmatch(_raw_mode(tile[3])) for tile in tiles}
    match = found.pop() if len(found) == 1 else None
    if match is None or image.mode not in ('RGB', 'RGBA'):
        return None
    return DeepColour(content, match[1] + OTHER_ORDER[match[2]])


def _raw_mode(arguments: Any) -> str:
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ''


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    arguments = (raw_mode, *tile[3][1:]) if isinstance(tile[3], tuple) else raw_mode
    # Since Pillow 11 it is a named tuple.
    return tile._replace(args=arguments) if hasattr(tile, '_replace') else (*tile[:3], arguments)
