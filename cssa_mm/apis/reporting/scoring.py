"""The test images of a report: scored by the model and by zero-shot CLIP."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.evaluation.calibration import brier_score, calibration_error
from cssa_mm.evaluation.metrics import average_precision_per_class, cf1_of1, mean_of_finite
from cssa_mm.features.encode import encode
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.untrained_names import untrained_similarity, untrained_text


@dataclass(frozen=True)
class ScoredImages:
    """Scores of n test images.

    Attributes:
        indices: of these images in the data set.
        scores: float32 (n, C), calibrated.
        zero_shot: float32 (n, C), similarities with the untrained prompts: CLIP's own ranking.
        predicted: bool (n, C), the labels that the model gives.
        labels: int8 (n, C) in 1, 0, -1.
    """

    indices: np.ndarray
    scores: np.ndarray
    zero_shot: np.ndarray
    predicted: np.ndarray
    labels: np.ndarray


@torch.no_grad()
def score_images(
    model: CSSAClassifier, dataset: SemiMultiLabelDataset, most: int, batch_size: int = 64
) -> ScoredImages:
    """Score test images, of more than `most` a part that is drawn with a fixed seed.

    Raises:
        ImageError: an image cannot be read.
    """
    indices = np.arange(len(dataset))
    if len(indices) > most:
        indices = np.sort(np.random.default_rng(0).choice(indices, most, replace=False))
    scorer = TorchScorer(model)
    text = untrained_text(model, model.class_words.wordings)
    scores, zero_shot = [], []
    for local, pooled in encode(model, dataset, indices, scorer.view, 'Report: test images', batch_size=batch_size):
        scores.append(scorer.of_logits(model.logits(local, pooled)).calibrated)
        zero_shot.append(untrained_similarity(model, local, pooled, text).float().cpu().numpy())
    found = np.concatenate(scores)
    return ScoredImages(
        indices, found, np.concatenate(zero_shot), model.thresholds.reached(found), np.asarray(dataset.labels)[indices]
    )


def metrics_of(tested: ScoredImages) -> dict[str, float]:
    """mAP, CF1, OF1, ECE and Brier of the model and the mAP of zero-shot CLIP, shares from 0 to 1."""
    labels = tested.labels
    cf1, of1 = cf1_of1(tested.predicted, labels)
    has_positives = bool((labels == 1).any())
    return {
        'mAP': mean_of_finite(average_precision_per_class(tested.scores, labels)),
        'CF1': cf1 if has_positives else math.nan,
        'OF1': of1 if has_positives else math.nan,
        'ECE': calibration_error(tested.scores, labels),
        'Brier': brier_score(tested.scores, labels),
        'zero-shot mAP': mean_of_finite(average_precision_per_class(tested.zero_shot, labels)),
    }
