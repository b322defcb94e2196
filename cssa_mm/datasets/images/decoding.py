"""From a file's bytes, or a Pillow image, to pixels: uint8 (H, W, 3), RGB, upright, on a visible ground."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cssa_mm.datasets.images.bit_depth import DEPTHS, WIDE_MODES, depth_info, scale_to_8bit
from cssa_mm.datasets.images.deep_colour import deep_colour
from cssa_mm.datasets.images.image_formats import (
    has_heif,
    looks_like_heif,
    looks_like_postscript,
    needs_program,
    open_image,
)
from cssa_mm.errors import ConfigError, ImageError, nearest

MEAN_COLOUR = (122, 116, 104)  # of CLIP's training images
GROUNDS = dict(white=(255, 255, 255), mean=MEAN_COLOUR)


class Decoded(NamedTuple):
    """The pixels, uint8 (H, W, 3), and the rule that brought more than 8 bits a colour to 8, or ''."""

    pixels: np.ndarray
    rule: str


@dataclass(frozen=True)
class Decoder:
    """How images become pixels.

    Args:
        bits: of images with more than 8 bits a colour: 8, 10, 12, 14 or 16, whose greatest value is white, or 'float'
            for float data from 0 to 1. None goes by the file, or else by the data of each image.
        transparency: the colour below transparent pixels: 'white', 'mean' (CLIP's), or three numbers of 0 to 255.

    Raises:
        ConfigError: another value.
    """

    bits: int | str | None = None
    transparency: str | Sequence[int] = 'white'

    def __post_init__(self) -> None:
        if self.bits is not None and (isinstance(self.bits, bool) or self.bits not in (*DEPTHS, 'float')):
            raise ConfigError(
                f"bits: found {self.bits!r}, expected None, 'float' or one of {', '.join(map(str, DEPTHS))}, the bits "
                'of the data in images of more than 8 bits'
            )
        _checked_ground(self.transparency)

    @property
    def ground(self) -> tuple[int, ...]:
        """The colour below transparent pixels: red, green, blue."""
        return tuple(map(int, _checked_ground(self.transparency)))

    def decode_file(self, content: bytes, path: str) -> Decoded:
        """Decode a file's bytes.

        Raises:
            ImageError: there is no image that can be read; the message names ``path``.
        """
        if not content:
            raise ImageError(f'{path}: found an empty file, expected an image; restore or remove it.')
        try:
            return self.decode(content)
        except Image.DecompressionBombError as error:
            raise ImageError(
                f'{path}: found an enormous image ({" ".join(str(error).split())}), expected one of at most '
                f"{2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, Pillow's limit; shrink or remove it."
            ) from error
        except MemoryError:
            raise  # the machine's fault, not the image's
        # Pillow's plugins raise nearly anything on broken bytes.
        except Exception as error:
            advice = 'restore or remove it'
            if looks_like_heif(content) and not has_heif():
                advice = 'it is HEIC or HEIF: convert it to JPEG, or pip install pillow-heif'
            elif looks_like_postscript(content):
                advice = 'convert it to PNG'
            raise ImageError(
                f'{path}: found no readable image ({_reason(error, content)}), expected a format that Pillow reads '
                f'(JPEG, PNG, WebP, ...); {advice}.'
            ) from error

    def decode(self, content: bytes) -> Decoded:
        """Decode a file's bytes; whatever Pillow raises is raised."""
        with open_image(io.BytesIO(content)) as image:
            return self._to_rgb(image, content)

    def to_rgb(self, image: Image.Image) -> Decoded:
        """Decode a Pillow image."""
        return self._to_rgb(image, None)

    def _to_rgb(self, image: Image.Image, content: bytes | None) -> Decoded:
        if needs_program(image):
            raise ImageError(
                f'image: found {image.format}, which only an external program draws, expected a format that Pillow '
                'reads (JPEG, PNG, WebP, ...); convert it to PNG.'
            )
        info = depth_info(image, content) | dict(bits=self.bits)
        depth = content[24] if content is not None and image.format == 'PNG' else 8
        deep = deep_colour(image, content) if content is not None else None
        image.load()
        image = ImageOps.exif_transpose(image)
        if deep is not None:
            pixels, alpha, rule = deep.scaled(image, info)
        elif image.mode in WIDE_MODES:
            values = np.asarray(image)
            grey, rule = scale_to_8bit(values, info)
            pixels = np.repeat(grey[:, :, None], 3, axis=2)
            alpha = _keyed(values, image.info.get('transparency'))
        else:
            (pixels, alpha), rule = _plain(image, depth), ''
        return Decoded(self._on_ground(pixels, alpha), rule)

    def _on_ground(self, pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
        """Pixels (H, W, 3) with their alpha (H, W) on the ground; where all of them are opaque, as they are."""
        if alpha is None or (alpha == 255).all():
            return pixels
        ground = np.array(self.ground, dtype=np.uint32)
        share = alpha[:, :, None].astype(np.uint32)
        return ((pixels * share + ground * (255 - share) + 127) // 255).astype(np.uint8)


def _plain(image: Image.Image, depth: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The pixels and the alpha of an image of at most 8 bits a colour; ``depth`` is that of its file."""
    key = image.info.get('transparency')
    if image.mode in ('La', 'RGBa'):  # premultiplied
        image = image.convert('RGBA' if image.mode == 'RGBa' else 'LA')
    if image.mode in ('RGBA', 'LA', 'PA') or (image.mode == 'P' and (key is not None or _has_alpha(image))):
        both = np.array(image.convert('RGBA'))
        return np.ascontiguousarray(both[:, :, :3]), both[:, :, 3]
    pixels = np.array(image.convert('RGB'))
    if image.mode == '1' and isinstance(key, int):
        key = 255 if key else 0  # before Pillow 11 it is 1
    elif image.mode == 'L' and isinstance(key, int) and depth < 8:
        key = key * 255 // (2**depth - 1)  # Pillow has scaled the pixels alone
    if image.mode in ('1', 'L', 'RGB'):
        return pixels, _keyed(pixels if isinstance(key, Sequence) else pixels[:, :, 0], key)
    return pixels, None


def _keyed(values: np.ndarray, key: Any) -> np.ndarray | None:
    """The alpha of an image in which one value or colour is transparent."""
    if isinstance(key, Integral):
        return np.where(values == key, 0, 255)
    if isinstance(key, Sequence) and values.ndim == 3 and len(key) == values.shape[2]:
        return np.where((values == np.array(key)).all(axis=2), 0, 255)
    return None


def _has_alpha(image: Image.Image) -> bool:
    return image.palette is not None and image.palette.mode.endswith('A')


def _checked_ground(ground: str | Sequence[int]) -> Sequence[int]:
    colour: Any = GROUNDS.get(ground) if isinstance(ground, str) else ground
    if (
        isinstance(colour, Sequence)
        and len(colour) == 3
        and all(isinstance(part, Integral) and 0 <= int(part) <= 255 for part in colour)
    ):
        return colour
    raise ConfigError(
        f"transparency: found {ground!r}, expected 'white', 'mean' or three numbers from 0 to 255, the colour below "
        f'transparent pixels.{nearest(str(ground), GROUNDS)}'
    )


def _reason(error: Exception, content: bytes) -> str:
    if looks_like_postscript(content):
        return 'EPS or PostScript, which only an external program draws'
    if isinstance(error, UnidentifiedImageError):
        return 'unknown format'
    return ' '.join(str(error).split()) or type(error).__name__
