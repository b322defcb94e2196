"""mmpretrain's data preprocessor, extended to pass on the targets and features of a batch."""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import MODELS

from cssa_mm.errors import ConfigError


@MODELS.register_module()
class CSSADataPreprocessor(ClsDataPreprocessor):
    """Normalises the images of a batch, and moves its `targets` and `features` to the device.

    A batch with known `features`, local (B, N, D) and global (B, D), needs no images: they are left out.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """The batch as keyword arguments of the classifier's `forward`."""
        if 'inputs' not in data and data.get('features') is None:
            raise ConfigError(
                f'pipeline: found items of {", ".join(map(str, data))}, expected inputs and data_samples; let '
                'PackInputs be the last step of each pipeline'
            )
        added = {key: self.cast_data(data[key]) for key in ('targets', 'features') if data.get(key) is not None}
        if len(added) == 2:  # the samples are not read any more
            return dict(inputs=torch.empty(0, 3, 1, 1), data_samples=data.get('data_samples')) | added
        if 'features' in added:
            data = data | dict(inputs=torch.empty(0, 3, 1, 1))
        return super().forward(data, training) | added


def with_pixel_statistics(config: dict | None, clip: Any) -> dict:
    """A preprocessor's config for RGB images with the pixel statistics of a loaded tower, unless the config says so."""
    statistics = dict(mean=[255 * value for value in clip.mean], std=[255 * value for value in clip.std])
    return dict(type='CSSADataPreprocessor', to_rgb=False) | statistics | (config or {})
