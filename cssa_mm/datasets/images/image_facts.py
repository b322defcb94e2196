"""Facts about one image file: whether it can be read, what is unusual about it, and hashes of its bytes and looks."""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image

from cssa_mm.datasets.bad_images import reason_of
from cssa_mm.datasets.images.decoding import Decoded
from cssa_mm.datasets.images.image_formats import open_image
from cssa_mm.datasets.images.near_duplicates import colours_of, look_of
from cssa_mm.datasets.transforms import LoadRGBImage
from cssa_mm.errors import ImageError

# Faults keep an image from being used; oddities are only worth knowing.
FAULTS = ('missing', 'empty', 'truncated', 'enormous', 'unreadable')
# A few images of one colour, or nearly black, may be right; a set of them was read wrongly, or is none of photos.
PLAIN = ('one colour', 'nearly black')
ODDITIES = (
    'tiny',
    'very large',
    *PLAIN,
    'grey',
    'palette',
    'CMYK',
    '16-bit',
    'transparent',
    'animated',
    'EXIF-rotated',
)
TINY = 32  # pixels on the shorter side
BLACK = 24  # of 255: a picture whose brightest pixels, but for one in a thousand, are darker shows nothing
ONE_COLOUR = 2  # standard deviation below which every pixel looks the same
MODES = {'1': 'grey', 'L': 'grey', 'LA': 'grey', 'P': 'palette', 'PA': 'palette', 'CMYK': 'CMYK', 'F': '16-bit'}
ORIENTATION = 0x0112  # the EXIF tag


class ImageFacts(NamedTuple):
    """About one file.

    Attributes:
        fault: one of ``FAULTS``, or None.
        reason: of the fault.
        oddities: some of ``ODDITIES``, in their order.
        digest: hash of the bytes, if there are any.
        format: Pillow's name of the file's format; '' where there is a fault.
        rule: how more than 8 bits a colour became 8, or ''.
        look: perceptual hash, for ``near_duplicates``; None of an image that has no look of its own, or a fault.
        colours: coarse colours, for ``near_duplicates``; empty where there is a fault.
    """

    fault: str | None
    reason: str
    oddities: tuple[str, ...]
    digest: str | None
    format: str = ''
    rule: str = ''
    look: int | None = None
    colours: bytes = b''


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
            decoded = loader.decoder.decode_file(content, path)
        except ImageError as error:
            return ImageFacts(_fault(content, error), reason_of(error, path), (), digest if content else None)
        name, oddities = _oddities(content, decoded)
        return ImageFacts(
            None, '', oddities, digest, name, decoded.rule, look_of(decoded.pixels), colours_of(decoded.pixels)
        )


def _fault(content: bytes, error: ImageError) -> str:
    if not content:
        return 'empty'
    if isinstance(error.__cause__, Image.DecompressionBombError):
        return 'enormous'
    return 'truncated' if 'truncated' in str(error.__cause__).lower() else 'unreadable'


def _oddities(content: bytes, decoded: Decoded) -> tuple[str, tuple[str, ...]]:
    """The format and the oddities."""
    with open_image(io.BytesIO(content)) as image:
        name, mode, (width, height) = image.format or '', image.mode, image.size
        signs = {
            'tiny': min(width, height) < TINY,
            'very large': width * height > (Image.MAX_IMAGE_PIXELS or np.inf),
            '16-bit': mode.startswith('I') or bool(decoded.rule),
            'transparent': mode in ('RGBA', 'LA', 'PA', 'RGBa', 'La') or 'transparency' in image.info,
            'animated': _is_animated(image),
            'EXIF-rotated': image.getexif().get(ORIENTATION, 1) not in (0, 1),
        }
    found = {sign for sign, is_there in signs.items() if is_there} | {MODES.get(mode)}
    if not signs['tiny']:
        found |= _plainness(decoded.pixels)
    return name, tuple(name for name in ODDITIES if name in found)


def _is_animated(image: Image.Image) -> bool:
    try:
        return getattr(image, 'is_animated', False)
    except Exception:  # Pillow looks at frames after the first, which alone is used
        return True


def _plainness(pixels: np.ndarray) -> set[str]:
    """Which of ``PLAIN`` is true, on a grid of some 128 pixels to the shorter side."""
    step = min(pixels.shape[:2]) // 128 | 1  # odd: a pattern of every second pixel must not look plain
    colours = [np.ascontiguousarray(pixels[::step, ::step, colour]) for colour in range(3)]
    found = set()
    if max(colour.std(dtype=np.float32) for colour in colours) < ONE_COLOUR:
        found.add('one colour')
    if max((colour >= BLACK).mean() for colour in colours) <= 0.001:
        found.add('nearly black')
    return found
