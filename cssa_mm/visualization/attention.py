"""Where does the model look: the attention of the best labels over test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpretrain.registry import DATASETS, MODELS
from PIL import Image

from cssa_mm.apis.config import load_config
from cssa_mm.features.encode import encode


@dataclass(frozen=True)
class LabelAttention:
    """An image (H, W, 3), its best labels with scores and truth, and an attention map (H, W) for each."""

    image: np.ndarray
    names: list[str]
    scores: list[float]
    is_true: list[bool]
    maps: list[np.ndarray]


def attend(
    config_path: str, checkpoint: str, data_root: str | None, num_images: int = 4, num_labels: int = 3
) -> list[LabelAttention]:
    """Attention of the EMA model on the first test images that have at least `num_labels` labels."""
    config = load_config(config_path, data_root=data_root)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    load_checkpoint(model, checkpoint, map_location='cpu')
    dataset = DATASETS.build(config.test_dataloader.dataset)
    chosen = np.flatnonzero((dataset.labels == 1).sum(1) >= num_labels)[:num_images]
    pipeline = dataset.pipeline.transforms
    results = []
    for index, (local, pooled) in zip(
        chosen, encode(model, dataset, chosen, pipeline, 'Attention', batch_size=1), strict=True
    ):
        alignment = model.alignment_of(local, pooled)
        image = np.asarray(Image.open(dataset.img_paths[index]).convert('RGB'))
        results.append(_describe(image, alignment, dataset.labels[index], model, num_labels))
    return results


def _describe(image: np.ndarray, alignment, labels: np.ndarray, model: torch.nn.Module, count: int) -> LabelAttention:
    scores = torch.sigmoid(alignment.logits[0])
    best = scores.topk(count).indices.tolist()
    return LabelAttention(
        image=image,
        names=[model.class_names[c] for c in best],
        scores=[float(scores[c]) for c in best],
        is_true=[bool(labels[c] == 1) for c in best],
        maps=[_to_map(alignment.attention[0, c], image.shape[:2], model.backbone.global_token) for c in best],
    )


def _to_map(attention: torch.Tensor, size: Sequence[int], has_global_token: bool) -> np.ndarray:
    """Attention (N,) over a square grid -> (H, W), from 0 to 1; the global token has no place in it."""
    grid = attention[1:] if has_global_token else attention
    side = round(len(grid) ** 0.5)
    return stretch(grid.reshape(side, side), size)


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
        axis.set_title(f'{name} {score:.2f}', fontsize=9, color='#0b7a75' if is_true else '#d1495b')


def draw_heat(axes: Axes, image: np.ndarray, heat: np.ndarray) -> None:
    """Draw an image (H, W, 3) and over it a map (H, W) from 0 to 1; the corner of the image is (0, 0)."""
    extent = (0, image.shape[1], image.shape[0], 0)
    axes.imshow(image, extent=extent)
    axes.imshow(heat, cmap='magma', alpha=0.62 * heat + 0.12, vmin=0, vmax=1, extent=extent)
