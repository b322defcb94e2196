"""Pictures of images with their predicted labels on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import mmcv
import numpy as np
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer
from mmpretrain.visualization.utils import get_adaptive_scale

from cssa_mm.folders import writable_folder
from cssa_mm.visualization.fonts import DrawableNames, columns

READABLE = 480  # pixels of the shorter side of a picture: enough for some twenty labels


def draw_labels(
    visualizer: UniversalVisualizer,
    images: Iterable[tuple[np.ndarray, str | None]],
    samples: Sequence[DataSample],
    classes: Sequence[str],
    folder: Path | None,
    **options: Any,
) -> None:
    """Draw the labels of each image, its `pred_label`, into `folder`/NAME.png; all of them fit into the picture.

    Args:
        visualizer: draws.
        images: pixels, uint8 (H, W, 3), RGB, and path, or None: such images are named by their number.
        samples: their samples.
        classes: C names.
        folder: is made where it is missing; None writes no files.
        options: see `draw_picture`.

    Raises:
        ConfigError: the folder can't be written to.
    """
    if folder is not None:
        writable_folder(folder, 'show_dir')
    names = DrawableNames.of(classes)
    taken: set[str] = set()
    for index, ((pixels, path), sample) in enumerate(zip(images, samples, strict=True)):
        stem = str(index) if path is None else Path(path).stem
        name = stem
        while name in taken:
            name = f'{stem}_{index}' if name == stem else f'{name}_'
        taken.add(name)
        out_file = None if folder is None else folder / f'{name}.png'
        draw_picture(visualizer, pixels, sample, names, name=name, out_file=out_file, **options)
    if options.get('show'):
        visualizer.close()


def draw_picture(
    visualizer: UniversalVisualizer,
    pixels: np.ndarray,
    sample: DataSample,
    names: DrawableNames,
    *,
    out_file: Path | None,
    resize: int | None = None,
    rescale_factor: float | None = None,
    draw_gt: bool = False,
    **options: Any,
) -> None:
    """Draw the labels of an image, as large as they fit.

    Args:
        visualizer: draws.
        pixels: uint8 (H, W, 3), RGB.
        sample: its sample, with `pred_label`.
        names: of the classes.
        out_file: the picture; None gives it to the visualizer's backends.
        resize: length of the shorter side of a picture.
        rescale_factor: size of a picture in sizes of its image. Without these two, small images are enlarged.
        draw_gt: of `UniversalVisualizer.visualize_cls`, and so are the other options.
    """
    height, width = pixels.shape[:2]
    scale = _scale(min(height, width), max(height, width), resize, rescale_factor)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = pixels if scale == 1 else mmcv.imresize(pixels, size)
    lines = [f'Prediction: {index}, 0.00 ({names.names[index]})' for index in sample.pred_label.tolist()]
    text = dict(size=_text_size(lines, *picture.shape[1::-1]), family=list(names.families), parse_math=False)
    visualizer.visualize_cls(
        picture,
        sample,
        classes=names.names,
        draw_gt=draw_gt,
        out_file=None if out_file is None else str(out_file),
        **options | dict(text_cfg=text | (options.get('text_cfg') or {})),
    )


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
    wide = (width - margin) / (0.62 * max(map(columns, lines), default=1))
    return max(1.0, min(get_adaptive_scale((height, width)) * 7, min(high, wide) * points))
