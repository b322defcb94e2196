"""Image loading: one decoder for every format, RGB out, one clear line where it fails."""

from __future__ import annotations

import io

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmpretrain.registry import TRANSFORMS
from PIL import Image, ImageOps, UnidentifiedImageError

from cssa_mm.errors import ImageError


@TRANSFORMS.register_module()
class LoadRGBImage(BaseTransform):
    """Read and decode ``img_path`` to ``img``: uint8 (H, W, 3) in RGB order, upright by its EXIF tag.

    Palette, grey, CMYK and 16-bit images are converted; transparency is dropped; of an animation the first frame
    counts. An ``img`` that is there already is kept, such as the neutral one of a bad image.

    Args:
        backend_args: Storage backend, as in MMEngine; None reads local files.

    Raises:
        ImageError: The file is missing, empty or not readable as an image, or the image is so large that Pillow takes
            it for a decompression bomb.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Add ``img``, ``img_shape`` and ``ori_shape`` (height, width)."""
        image = results['img'] if 'img' in results else self.load(results['img_path'])
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def load(self, path: str) -> np.ndarray:
        """The image at ``path``, uint8 (H, W, 3)."""
        return decode_file(self.read(path), path)

    def read(self, path: str) -> bytes:
        """The bytes of the file at ``path``, not decoded."""
        try:
            return fileio.get(path, self.backend_args)
        except OSError as error:
            raise ImageError(
                f'{path}: cannot be read ({error.strerror or error}), expected an image file; check '
                f'data_root and the image directory.'
            ) from error

    def __repr__(self) -> str:
        """The transform as a config would show it."""
        return f'{type(self).__name__}(backend_args={self.backend_args})'


def decode_file(content: bytes, path: str) -> np.ndarray:
    """The image in a file's bytes, uint8 (H, W, 3); an ImageError names ``path`` where there is none."""
    if not content:
        raise ImageError(f'{path}: found an empty file, expected an image; restore or remove it.')
    try:
        return decode_rgb(content)
    except Image.DecompressionBombError as error:
        raise ImageError(
            f'{path}: found an enormous image ({" ".join(str(error).split())}), expected one of at most '
            f"{2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, Pillow's limit; shrink or remove it."
        ) from error
    except MemoryError:
        raise  # the machine's fault, not the image's
    # Pillow's plugins raise nearly anything on broken bytes.
    except Exception as error:
        raise ImageError(
            f'{path}: found no readable image ({_reason(error)}), expected a format that Pillow reads '
            f'(JPEG, PNG, WebP, ...); restore or remove it.'
        ) from error


def decode_rgb(content: bytes) -> np.ndarray:
    """Decode an image file's bytes to uint8 (H, W, 3), RGB, upright by its EXIF tag."""
    with Image.open(io.BytesIO(content)) as image:
        return to_rgb(image)


def to_rgb(image: Image.Image) -> np.ndarray:
    """A Pillow image as uint8 (H, W, 3), RGB, upright by its EXIF tag."""
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I'):
        # Pillow would clip 16-bit grey at 255 instead of scaling it.
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.mode in ('P', 'PA', 'LA') and 'transparency' in image.info:
        image = image.convert('RGBA')
    return np.array(image.convert('RGB'))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return 'unknown format'
    return ' '.join(str(error).split()) or type(error).__name__
