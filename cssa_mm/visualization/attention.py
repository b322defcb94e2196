"""Where the model looks: the attention of the best labels of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes

from cssa_mm.visualization.style import ACCENT, SECOND


@dataclass(frozen=True)
class LabelAttention:
    """An image (H, W, 3), its best labels with scores and truth, and an attention map (H, W) for each."""

    image: np.ndarray
    names: list[str]
    scores: list[float]
    is_true: list[bool]
    maps: list[np.ndarray]


def stretch(grid: torch.Tensor, size: Sequence[int]) -> np.ndarray:
    """Values (h, w) of a grid over an image of the size (H, W), from 0 to 1."""
    image = F.interpolate(grid[None, None], tuple(size), mode='bilinear')[0, 0]
    return ((image - image.min()) / (image.max() - image.min()).clamp(min=1e-9)).numpy()


def draw_attention(axes: Sequence[Axes], scene: LabelAttention) -> None:
    """Draw an image into the first axes and one map per label into the others; wrong labels are red."""
    axes[0].imshow(scene.image)
    for axis, name, score, is_true, attention in zip(
        axes[1:], scene.names, scene.scores, scene.is_true, scene.maps, strict=False
    ):
        draw_heat(axis, scene.image, attention)
        axis.set_title(f'{name} {score:.2f}', fontsize=9, color=ACCENT if is_true else SECOND)


def draw_heat(axes: Axes, image: np.ndarray, heat: np.ndarray) -> None:
    """Draw an image (H, W, 3) and over it a map (H, W) from 0 to 1; the corner of the image is (0, 0)."""
    extent = (0, image.shape[1], image.shape[0], 0)
    axes.imshow(image, extent=extent)
    axes.imshow(heat, cmap='magma', alpha=0.62 * heat + 0.12, vmin=0, vmax=1, extent=extent)
