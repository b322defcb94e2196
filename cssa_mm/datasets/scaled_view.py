"""The view at another size, for test-time augmentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from mmpretrain.registry import TRANSFORMS

from cssa_mm.datasets.resizing import resized
from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError
from cssa_mm.values import Range

# Sides that are multiples of it fit towers with a stride of 8, 16 or 32.
STRIDE = 32


@TRANSFORMS.register_module()
class ScaledView(View):
    """A view whose sides are `factor` times as long, resized from the whole image.

    In a config's `tta_pipeline` it needs the factor alone: the runner completes it by the config's `view`.

    Args:
        factor: of the sides; other ones than 1 are rounded to a multiple of `stride`.
        stride: of the tower, such as 14 for a ViT-L-14.
        **view: the options of `View`.

    Raises:
        ConfigError: the factor or stride is no positive number, or an option is none of `View`.
    """

    def __init__(
        self,
        *,
        factor: Annotated[float, Range(0, 100, above=True)] = 1.0,
        stride: Annotated[int, Range(1, 4096)] = STRIDE,
        **view: Any,
    ) -> None:
        for name, value, kinds in (('factor', factor, (int, float)), ('stride', stride, int)):
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < math.inf:
                raise ConfigError(f'ScaledView: found {name}={value!r}, expected a positive number, such as 1.25')
        super().__init__(**view)
        self.factor = float(factor)
        self.stride = stride

    def transform(self, results: dict) -> dict:
        """Add `img`, `img_shape` and `ori_shape` (height, width)."""
        results = super(View, self).transform(results)
        height, width = self._scaled(self.size or results['img'].shape[:2])
        if (height, width) != results['img'].shape[:2]:
            results['img'] = resized(results['img'], (height, width), self.interpolation, self.backend)
        results['img_shape'] = (height, width)
        return results

    def as_config(self) -> dict:
        """The view as plain data."""
        return super().as_config() | dict(factor=self.factor, stride=self.stride)

    def _scaled(self, size: Sequence[int]) -> tuple[int, int]:
        """(height, width) of the scaled view."""
        if self.factor == 1:
            return size[0], size[1]
        height, width = (self.stride * max(1, math.floor(side * self.factor / self.stride + 0.5)) for side in size)
        return height, width
