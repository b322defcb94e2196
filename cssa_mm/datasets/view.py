"""The plain view of an image as a value: what is decoded, resized to what, and how."""

from __future__ import annotations

import json
from collections.abc import Sequence
from numbers import Integral
from typing import Annotated

import numpy as np
from mmpretrain.registry import TRANSFORMS

from cssa_mm.datasets.resizing import INTERPOLATIONS, ResizeToSize, resized
from cssa_mm.datasets.transforms import LoadRGBImage
from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.values import OneOf, Range

Side = Annotated[int, Range(1, 2**16)]  # pixels


@TRANSFORMS.register_module()
class View(LoadRGBImage):
    """Load an image and resize it: `LoadRGBImage`, then mmcv's `Resize` in one step that can be compared and stored.

    Two views are equal when they give the same pixels; the storage backend does not count.

    Args:
        size: Side of a square, (height, width), or None, which keeps the size of the image.
        interpolation: One of the interpolations of `backend`.
        backend: The library that resizes: 'pillow', 'cv2', or 'torchvision', which takes a fifth of Pillow's time and
            differs from it by at most 1 of 255.
        backend_args: Storage backend, as in MMEngine; None reads local files.
        bits: Of images with more than 8 bits a colour, as in `LoadRGBImage`.
        transparency: The colour below transparent pixels, as in `LoadRGBImage`.

    Raises:
        ConfigError: An invalid size, or an unknown backend, interpolation, `bits` or `transparency`.
    """

    def __init__(
        self,
        *,
        size: Side | Sequence[Side] | None,
        interpolation: str = 'bicubic',
        backend: Annotated[str, OneOf(tuple(INTERPOLATIONS))] = 'pillow',
        backend_args: dict | None = None,
        bits: int | str | None = None,
        transparency: str | Sequence[int] = 'white',
    ) -> None:
        super().__init__(backend_args, bits, transparency)
        self.size = _checked_size(size)
        self.backend = _checked_choice('backend', backend, tuple(INTERPOLATIONS))
        self.interpolation = _checked_choice('interpolation', interpolation, INTERPOLATIONS[backend])
        self._resize = None if self.size is None else ResizeToSize(self.size, interpolation, backend)

    def transform(self, results: dict) -> dict:
        """Add `img`, `img_shape` and `ori_shape` (height, width), and what mmcv's `Resize` adds where it resizes."""
        results = super().transform(results)
        return results if self._resize is None else self._resize(results)

    def of_image(self, image: np.ndarray) -> np.ndarray:
        """The view of a decoded image.

        Args:
            image: uint8 (H, W, 3), RGB.

        Returns:
            uint8 (height, width, 3) of `size`; the image itself where `size` is None.

        Raises:
            DataError: The array has another shape or type.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise DataError(
                f'image: found an array of shape {image.shape} and type {image.dtype}, expected uint8 of shape '
                f'(height, width, 3); convert it.'
            )
        if self.size is None:
            return image
        return resized(image, self.size, self.interpolation, self.backend)

    def as_config(self) -> dict:
        """The view as plain data: `size` is an int for a square, else [height, width] or None; no default decoding."""
        height, width = self.size or (None, None)
        size = height if height == width else [height, width]
        view = dict(type=type(self).__name__, size=size, interpolation=self.interpolation, backend=self.backend)
        return view | self.decoding()

    def __eq__(self, other: object) -> bool:
        """Whether both give the same pixels."""
        return self.as_config() == other.as_config() if isinstance(other, View) else NotImplemented

    def __hash__(self) -> int:
        """Equal views have equal hashes."""
        return hash(json.dumps(self.as_config(), sort_keys=True))

    def __repr__(self) -> str:
        """The view as a config would show it."""
        name, *options = self.as_config().items()
        return f'{name[1]}({", ".join(f"{key}={value!r}" for key, value in options)})'


def _checked_size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """(height, width), or None."""
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else (size, size)
    if len(sides) != 2 or not all(isinstance(x, Integral) and not isinstance(x, bool) and x > 0 for x in sides):
        raise ConfigError(
            f'View: found size={size!r}, expected a positive whole number, (height, width), or None for no resizing.'
        )
    return int(sides[0]), int(sides[1])


def _checked_choice(name: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise ConfigError(f'View: found {name}={value!r}, expected one of {", ".join(known)}.{nearest(value, known)}')
    return value
