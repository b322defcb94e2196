"""Facts about one image file: whether it can be read, what is unusual about it, and a hash of its bytes."""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import NamedTuple

from PIL import Image

from cssa_mm.datasets.bad_images import reason_of
from cssa_mm.datasets.transforms import LoadRGBImage, decode_file
from cssa_mm.errors import ImageError

# Faults keep an image from being used; oddities are only worth knowing.
FAULTS = ('missing', 'empty', 'truncated', 'enormous', 'unreadable')
ODDITIES = ('tiny', 'very large', 'grey', 'palette', 'CMYK', '16-bit', 'transparent', 'animated', 'EXIF-rotated')
TINY = 32  # pixels on the shorter side
MODES = {'1': 'grey', 'L': 'grey', 'LA': 'grey', 'P': 'palette', 'PA': 'palette', 'CMYK': 'CMYK', 'F': '16-bit'}
ORIENTATION = 0x0112  # the EXIF tag


class ImageFacts(NamedTuple):
    """About one file: one of ``FAULTS`` with the reason, or some of ``ODDITIES``; the hash of the bytes, if any."""

    fault: str | None
    reason: str
    oddities: tuple[str, ...]
    digest: str | None


def image_facts(loader: LoadRGBImage, path: str) -> ImageFacts:
    """Read and decode the image at ``path`` as training does."""
    try:
        content = loader.read(path)
    except ImageError as error:
        return ImageFacts('missing', reason_of(error, path), (), None)
    digest = hashlib.sha256(content).hexdigest()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # Pillow's, of large images and odd metadata
        try:
            decode_file(content, path)
        except ImageError as error:
            return ImageFacts(_fault(content, error), reason_of(error, path), (), digest if content else None)
        return ImageFacts(None, '', _oddities(content), digest)


def _fault(content: bytes, error: ImageError) -> str:
    if not content:
        return 'empty'
    if isinstance(error.__cause__, Image.DecompressionBombError):
        return 'enormous'
    return 'truncated' if 'truncated' in str(error.__cause__).lower() else 'unreadable'


def _oddities(content: bytes) -> tuple[str, ...]:
    with Image.open(io.BytesIO(content)) as image:
        mode, (width, height) = image.mode, image.size
        signs = {
            'tiny': min(width, height) < TINY,
            'very large': width * height > Image.MAX_IMAGE_PIXELS,
            '16-bit': mode.startswith('I'),
            'transparent': mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info,
            'animated': getattr(image, 'is_animated', False),
            'EXIF-rotated': image.getexif().get(ORIENTATION, 1) not in (0, 1),
        }
    found = {sign for sign, is_there in signs.items() if is_there} | {MODES.get(mode)}
    return tuple(name for name in ODDITIES if name in found)
