"""Where a model looks for each label: maps that are worth showing, by one rule for each way in which towers pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cssa_mm.models import CSSAClassifier
from cssa_mm.models.towers.layout import ATTENTION, MEAN, OTHER

if TYPE_CHECKING:
    from cssa_mm.visualization.explanation import CellMap


class MapRule(NamedTuple):
    """How a map is made.

    text: one sentence, which stands under a picture.
    has_length: whether the length of a local feature counts, beside its direction.
    smoothing: standard deviation of a Gaussian, in cells; 0 leaves the cells as they are.
    """

    text: str
    has_length: bool
    smoothing: float


# Chosen on training images alone (docs/results.md). Where the mean is the pool, a long feature weighs more in the
# image's own score; elsewhere the length of a local feature says nothing of its place.
RULES = {
    MEAN: MapRule(
        "Bright cells speak for the label: likeness of the cell's feature to the label's prompt, times the feature's "
        'length, smoothed by one cell (this tower averages its cells, so that long ones count most).',
        has_length=True,
        smoothing=1.0,
    ),
    ATTENTION: MapRule(
        "Bright cells speak for the label: cosine of the cell's feature with the label's prompt, where it is above the "
        'mean of all cells (this tower pools by attention, so that lengths say nothing).',
        has_length=False,
        smoothing=0.0,
    ),
    OTHER: MapRule(
        "Bright cells speak for the label: cosine of the cell's last-layer feature with the label's prompt, where it "
        'is above the mean of all cells (in this tower each cell has also seen the others).',
        has_length=False,
        smoothing=0.0,
    ),
}


class LabelMaps(NamedTuple):
    """Maps (B, C, h, w) of B images and C labels: the higher, the more a cell speaks for the label.

    rows: centres (h,) of the cells, as shares of the height of the image.
    columns: centres (w,), as shares of its width.
    """

    values: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    def of(self, image: int, label: int) -> CellMap:
        """The map of one image and label."""
        from cssa_mm.visualization.explanation import CellMap  # imports matplotlib

        return CellMap(self.values[image, label], self.rows, self.columns)


def rule_of(model: CSSAClassifier) -> MapRule:
    """How the maps of a model are made."""
    return RULES[model.backbone.layout.pooling]


def label_text(model: CSSAClassifier) -> Tensor:
    """Unit text features (C, D) of the prompts that look for the labels, by the averaged (EMA) model."""
    with torch.no_grad(), model.teacher.applied_to(model.scorer()):
        return model.head.text_features(model.text_encoder).semantic.float()


@torch.no_grad()
def label_maps(model: CSSAClassifier, local: Tensor, text: Tensor, size: tuple[int, int]) -> LabelMaps:
    """Maps of what the prompts of labels find in local features; see `RULES`.

    Args:
        model: whose tower gave the features.
        local: local features (B, N, D), with the global token first if the tower is to give one.
        text: unit features (C, D) of the labels' prompts.
        size: height and width (H, W) of the images that the tower saw.

    Raises:
        ConfigError: N is no grid over (H, W).
    """
    layout = model.backbone.layout
    rule = rule_of(model)
    cells = (local[:, 1:] if model.backbone.global_token else local).float()
    if rule.has_length:
        found = (text @ cells.transpose(1, 2)).clamp(min=0) * cells.norm(dim=-1)[:, None]
    else:
        found = text @ F.normalize(cells, dim=-1).transpose(1, 2)
        found = (found - found.mean(-1, keepdim=True)).clamp(min=0)
    grid = layout.grid(cells.shape[1], size)
    values = found.cpu().numpy().reshape(*found.shape[:2], *grid)
    if rule.smoothing:
        from scipy.ndimage import gaussian_filter  # takes long, and most commands do without

        values = gaussian_filter(values, (0, 0, rule.smoothing, rule.smoothing), mode='nearest')
    return LabelMaps(values, *layout.centres(grid, size))
