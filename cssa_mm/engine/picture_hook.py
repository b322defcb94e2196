"""Pictures of validation and test images with their predicted labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from mmpretrain.engine.hooks import VisualizationHook
from mmpretrain.registry import HOOKS
from mmpretrain.structures import DataSample
from torch import Tensor

from cssa_mm.folders import writable_folder
from cssa_mm.values import Positive


@HOOKS.register_module()
class LabelPictureHook(VisualizationHook):
    """mmpretrain's VisualizationHook for several labels an image; our runner puts it in its place.

    Each picture has a name of its own (photos of two folders may share theirs), labels in any script that a font of
    this machine draws, and text as large as all labels fit. With test-time augmentation, it shows the first view.

    Args:
        enable: draw.
        interval: every n-th image.
        show: open a window.
        out_dir: folder of the pictures, NAME_STEP.png; None gives them to the backends of the visualizer.
        options: see `draw_picture`.

    Raises:
        ConfigError: the folder can't be written to.
    """

    def __init__(
        self,
        enable: bool = False,
        interval: Positive = 5000,
        show: bool = False,
        out_dir: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(enable, interval, show, out_dir, **options)
        if enable and out_dir is not None:
            writable_folder(out_dir, 'default_hooks.visualization.out_dir')
        self._names = PictureNames()
        self._count = 0

    def _draw_samples(
        self, batch_idx: int, data_batch: dict, data_samples: Sequence[DataSample], step: int = 0
    ) -> None:
        if not self.enable:
            return
        from cssa_mm.visualization.fonts import DrawableNames  # imports matplotlib
        from cssa_mm.visualization.label_pictures import draw_picture

        if batch_idx == 0:
            self._names, self._count = PictureNames(), 0
        names = DrawableNames.of(self._visualizer.dataset_meta['classes'])
        images = data_batch['inputs']
        if len(images) and isinstance(images[0], list | tuple):  # views of test-time augmentation
            images = images[0]
        elif isinstance(images[0], Tensor) and images[0].ndim == 4:
            images = images[0]
        for position, sample in enumerate(data_samples):
            index = self._count + position
            if index % self.interval == 0:
                name = self._names.of(sample.get('img_path') or str(index))
                draw_picture(
                    self._visualizer,
                    np.ascontiguousarray(images[position].permute(1, 2, 0).cpu().numpy().astype(np.uint8)),
                    sample,
                    names,
                    name=name,
                    step=step,
                    out_file=None if self.out_dir is None else Path(self.out_dir, f'{name}_{step}.png'),
                    **self.draw_args,
                )
        self._count += len(data_samples)


class PictureNames:
    """Names for images by their paths: the file's own, with as many folders before it as tell it from others."""

    def __init__(self) -> None:
        self._path_of: dict[str, str] = {}

    def of(self, path: str) -> str:
        """The name of an image; the same one for the same path."""
        parts = PurePath(path).parts
        for length in range(1, len(parts) + 1):
            name = '_'.join(part.strip('/\\:') for part in parts[-length:])
            if self._path_of.setdefault(name, path) == path:
                return name
        number = 2
        while self._path_of.setdefault(f'{name}_{number}', path) != path:
            number += 1
        return f'{name}_{number}'


def with_own_pictures(hook: Any) -> Any:
    """The config of a hook; a LabelPictureHook in place of mmpretrain's VisualizationHook."""
    if isinstance(hook, Mapping) and hook.get('type') in ('VisualizationHook', VisualizationHook):
        return dict(hook, type='LabelPictureHook')
    return hook
