"""Image loading: one decoder for every format, RGB out, one clear line where it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmpretrain.registry import TRANSFORMS

from cssa_mm.datasets.images.decoding import Decoder
from cssa_mm.errors import ConfigError, ImageError


@TRANSFORMS.register_module()
class LoadRGBImage(BaseTransform):
    """Read and decode ``img_path`` to ``img``: uint8 (H, W, 3) in RGB order, upright by its EXIF tag.

    Every format that Pillow reads without an external program is read, and HEIC with pillow-heif. Palette, grey and
    CMYK images are converted, more than 8 bits a colour are scaled to 8, transparent pixels lie on a ground; of an
    animation the first frame counts. An ``img`` that is there already is kept, such as the neutral one of a bad image.

    Args:
        backend_args: Storage backend, as in MMEngine; None reads local files.
        bits: Of images with more than 8 bits a colour: 8, 10, 12, 14 or 16, whose greatest value is white, or 'float'
            for float data from 0 to 1. None goes by the file, or else by the data of each image.
        transparency: The colour below transparent pixels: 'white', 'mean' (CLIP's mean colour), or [red, green, blue].

    Raises:
        ConfigError: An unknown ``bits`` or ``transparency``, or ``backend_args`` that are no dict.
        ImageError: The file is missing, empty or not readable as an image, or the image is so large that Pillow takes
            it for a decompression bomb.
    """

    def __init__(
        self,
        backend_args: dict | None = None,
        bits: int | str | None = None,
        transparency: str | Sequence[int] = 'white',
    ) -> None:
        if not isinstance(backend_args, Mapping | None):
            raise ConfigError(
                f"backend_args: found {backend_args!r}, expected None or a dict such as dict(backend='local')"
            )
        self.backend_args = backend_args
        self.decoder = Decoder(bits, tuple(transparency) if isinstance(transparency, list) else transparency)

    def transform(self, results: dict) -> dict:
        """Add ``img``, ``img_shape`` and ``ori_shape`` (height, width)."""
        image = results['img'] if 'img' in results else self.load(results['img_path'])
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def load(self, path: str) -> np.ndarray:
        """The image at ``path``, uint8 (H, W, 3)."""
        return self.decode(self.read(path), path)

    def decode(self, content: bytes, path: str) -> np.ndarray:
        """The image in a file's bytes, uint8 (H, W, 3); an ImageError names ``path`` where there is none."""
        return self.decoder.decode_file(content, path).pixels

    def read(self, path: str) -> bytes:
        """The bytes of the file at ``path``, not decoded."""
        try:
            return fileio.get(path, self.backend_args)
        except OSError as error:
            raise ImageError(
                f'{path}: cannot be read ({error.strerror or error}), expected an image file; check '
                f'data_root and the image directory.'
            ) from error

    def decoding(self) -> dict:
        """The options of decoding that differ from the defaults, as plain data."""
        decoder, default = self.decoder, Decoder()
        options: dict[str, object] = dict(bits=decoder.bits) if decoder.bits != default.bits else {}
        if decoder.transparency != default.transparency:
            ground = decoder.transparency
            options['transparency'] = ground if isinstance(ground, str) else list(ground)
        return options

    def __repr__(self) -> str:
        """The transform as a config would show it."""
        options = dict(backend_args=self.backend_args) | self.decoding()
        return f'{type(self).__name__}({", ".join(f"{key}={value!r}" for key, value in options.items())})'
