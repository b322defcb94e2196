"""Image loading: one decoder for every format, RGB out, one clear line where it fails."""

from __future__ import annotations

import io

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmpretrain.registry import TRANSFORMS
from PIL import Image, ImageOps, UnidentifiedImageError

from cssa_mm.errors import DataError


@TRANSFORMS.register_module()
class LoadRGBImage(BaseTransform):
    """Read and decode ``img_path`` to ``img``: uint8 (H, W, 3) in RGB order, upright by its EXIF tag.

    Palette, grey, CMYK and 16-bit images are converted; transparency is dropped.

    Args:
        backend_args: Storage backend, as in MMEngine; None reads local files.

    Raises:
        DataError: The file is missing, empty or holds no readable image.
    """

    def __init__(self, backend_args: dict | None = None):
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Add ``img``, ``img_shape`` and ``ori_shape`` (height, width)."""
        image = self._load(results['img_path'])
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _load(self, path: str) -> np.ndarray:
        try:
            content = fileio.get(path, self.backend_args)
        except OSError as error:
            raise DataError(
                f'{path}: cannot be read ({error.strerror or error}), expected an image file; check '
                f'data_root and the image directory.'
            ) from error
        if not content:
            raise DataError(f'{path}: found an empty file, expected an image; restore or remove it.')
        try:
            return decode_rgb(content)
        # Pillow's plugins raise nearly anything on broken bytes.
        except Exception as error:
            raise DataError(
                f'{path}: found no readable image ({_reason(error)}), expected a format that Pillow reads '
                f'(JPEG, PNG, WebP, ...); restore or remove it.'
            ) from error

    def __repr__(self) -> str:
        """The transform as a config would show it."""
        return f'{type(self).__name__}(backend_args={self.backend_args})'


def decode_rgb(content: bytes) -> np.ndarray:
    """Decode an image file's bytes to uint8 (H, W, 3), RGB, upright by its EXIF tag."""
    with Image.open(io.BytesIO(content)) as image:
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
