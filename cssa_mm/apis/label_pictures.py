"""Pictures of images with their predicted labels on them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import mmcv
import numpy as np
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer
from mmpretrain.visualization.utils import get_adaptive_scale

from cssa_mm.errors import ConfigError

READABLE = 480  # pixels of the shorter side of a picture: enough for some twenty labels


def draw_labels(
    visualizer: UniversalVisualizer,
    images: Iterable[tuple[np.ndarray, str | None]],
    samples: Sequence[DataSample],
    classes: Sequence[str],
    folder: Path | None,
    resize: int | None = None,
    rescale_factor: float | None = None,
    **options: Any,
) -> None:
    """Draw the labels of each image, its `pred_label`, into `folder`/NAME.png; all of them fit into the picture.

    Args:
        visualizer: draws.
        images: pixels, uint8 (H, W, 3), RGB, and path, or None: such images are named by their number.
        samples: their samples.
        classes: C names.
        folder: is made where it is missing; None writes no files.
        resize: length of the shorter side of a picture.
        rescale_factor: size of a picture in sizes of its image. Without these two, small images are enlarged.
        options: of `UniversalVisualizer.visualize_cls`.

    Raises:
        ConfigError: the folder can't be written to.
    """
    if folder is not None:
        _make(folder)
    taken: set[str] = set()
    for index, ((pixels, path), sample) in enumerate(zip(images, samples, strict=True)):
        stem = str(index) if path is None else Path(path).stem
        name = stem
        while name in taken:
            name = f'{stem}_{index}' if name == stem else f'{name}_'
        taken.add(name)
        height, width = pixels.shape[:2]
        scale = _scale(min(height, width), max(height, width), resize, rescale_factor)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = pixels if scale == 1 else mmcv.imresize(pixels, size)
        lines = [f'Prediction: {index}, 0.00 ({classes[index]})' for index in sample.pred_label.tolist()]
        visualizer.visualize_cls(
            picture,
            sample,
            classes=classes,
            draw_gt=False,
            name=name,
            out_file=None if folder is None else str(folder / f'{name}.png'),
            text_cfg=dict(size=_text_size(lines, picture.shape[1], picture.shape[0])),
            **options,
        )
    if options.get('show'):
        visualizer.close()


def _scale(shorter: int, longer: int, resize: int | None, rescale_factor: float | None) -> float:
    if resize is not None:
        return resize / shorter
    if rescale_factor is not None:
        return rescale_factor
    return max(1.0, min(READABLE / shorter, 4 * READABLE / longer))


def _text_size(lines: Sequence[str], width: int, height: int) -> float:
    """The largest size, in points, of fixed-width lines that fit into a picture, up to that of mmpretrain."""
    margin = get_adaptive_scale((height, width)) * 10
    points = 72 / matplotlib.rcParams['figure.dpi']  # of a pixel
    high = (height - margin) / (1.25 * max(1, len(lines)))
    wide = (width - margin) / (0.62 * max(map(len, lines), default=1))
    return max(1.0, min(get_adaptive_scale((height, width)) * 7, min(high, wide) * points))


def _make(folder: Path) -> None:
    reason = 'it is not writable'
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return
    except OSError as error:
        reason = error.strerror or str(error)
    raise ConfigError(f"show_dir: found '{folder}' ({reason}), expected a folder that pictures can be written to")
