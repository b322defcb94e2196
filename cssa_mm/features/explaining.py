"""Explanations of images by a model, from features that its frozen tower gave once: the model may learn meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cssa_mm.features.label_maps import label_maps, rule_of
from cssa_mm.models import CSSAClassifier
from cssa_mm.visualization.explanation import Explanation

LONGEST = 640  # pixels of the longer side of the image that is shown


class SeenImage(NamedTuple):
    """An image as a frozen tower sees it, which training does not change.

    image: uint8 (H, W, 3), RGB, at most `LONGEST` pixels long.
    local: local features (1, N, D) of its view.
    pooled: global features (1, D).
    size: height and width of the view.
    path: of the file; None if it has none.
    """

    image: np.ndarray
    local: Tensor
    pooled: Tensor
    size: tuple[int, int]
    path: str | None = None


def explanation_of(
    model: CSSAClassifier, seen: SeenImage, scores: np.ndarray, chosen: Sequence[int], text: Tensor
) -> Explanation:
    """Where a model looked in an image for K of its C labels.

    Args:
        model: the model.
        seen: the image.
        scores: calibrated (C,), those that are shown.
        chosen: indices of the K labels, in the order in which they are shown.
        text: unit features (C, D) of the labels' prompts: see `label_text`.
    """
    thresholds, shape = model.thresholds.values, seen.image.shape
    found = label_maps(model, seen.local, text[list(chosen)], seen.size)
    maps = [found.of(0, number) for number in range(len(chosen))]
    return Explanation(
        image=seen.image,
        names=tuple(model.class_names[c] for c in chosen),
        scores=tuple(float(scores[c]) for c in chosen),
        thresholds=tuple(float(thresholds[c]) for c in chosen),
        maps=np.stack([each.spread(shape) for each in maps]),
        peaks=np.array([each.peak(shape) for each in maps]),
        rule=rule_of(model).text,
        path=seen.path,
    )


@torch.no_grad()
def calibrated_scores(model: CSSAClassifier, seen: SeenImage) -> np.ndarray:
    """The calibrated scores (C,) of an image, float32 in 0..1, by a model in eval mode."""
    logits = model.logits(seen.local, seen.pooled)
    return model.calibration(torch.sigmoid(logits).float(), logits)[0].cpu().numpy()


def reduced(image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) at most `LONGEST` pixels long."""
    if max(image.shape[:2]) <= LONGEST:
        return image
    smaller = Image.fromarray(image)
    smaller.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return np.asarray(smaller)
