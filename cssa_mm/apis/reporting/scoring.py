"""The images that the figures of a report are of: scored by the model and by zero-shot CLIP."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.errors import DataError
from cssa_mm.evaluation.calibration import brier_score, calibration_error
from cssa_mm.evaluation.held_out_scores import HeldOutScores
from cssa_mm.evaluation.metrics import average_precision_per_class, cf1_of1, mean_of_finite
from cssa_mm.features.encode import encode
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.untrained_names import untrained_similarity, untrained_text


@dataclass(frozen=True)
class ScoredImages:
    """Scores of n images with labels.

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
    indices = _some(len(dataset), most)
    scorer = TorchScorer(model)
    scores: list[np.ndarray] = []
    zero_shot = []
    for local, pooled, similarity in _encoded(model, dataset, indices, batch_size):
        scores.append(scorer.of_logits(model.logits(local, pooled)).calibrated)
        zero_shot.append(similarity)
    return _scored(model, dataset, indices, np.concatenate(scores), np.concatenate(zero_shot))


def score_held_out(
    model: CSSAClassifier, dataset: SemiMultiLabelDataset, held_out: HeldOutScores, most: int, batch_size: int = 64
) -> ScoredImages:
    """Labelled images with the scores of models that did not see their labels, in place of test images.

    Args:
        model: with the thresholds, which were found on the same scores.
        dataset: the training set.
        held_out: the scores; images that the data set does not have are left out.
        most: images; of more, some are drawn with a fixed seed.

    Raises:
        DataError: the data set has none of the images.
        ImageError: an image cannot be read.
    """
    places = {image_id: index for index, image_id in enumerate(dataset.image_ids)}
    rows = np.array([row for row, image_id in enumerate(held_out.image_ids) if image_id in places], np.int64)
    if not len(rows):
        raise DataError(
            f'held-out scores: found none of their {len(held_out.image_ids):,} images in the training set, expected '
            'them there; give the data of the run: --data-root'
        )
    rows = rows[_some(len(rows), most)]
    indices = np.array([places[held_out.image_ids[row]] for row in rows])
    zero_shot = [similarity for _, _, similarity in _encoded(model, dataset, indices, batch_size)]
    return _scored(model, dataset, indices, held_out.scores[rows], np.concatenate(zero_shot))


def _some(number: int, most: int) -> np.ndarray:
    if number <= most:
        return np.arange(number)
    return np.sort(np.random.default_rng(0).choice(number, most, replace=False))


@torch.no_grad()
def _encoded(
    model: CSSAClassifier, dataset: SemiMultiLabelDataset, indices: np.ndarray, batch_size: int
) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
    """Local and global features of images, and their similarities (b, C) with the untrained prompts."""
    text = untrained_text(model, model.class_words.wordings)
    view = TorchScorer(model).view
    for local, pooled in encode(model, dataset, indices, view, 'Report: images', batch_size=batch_size):
        yield local, pooled, untrained_similarity(model, local, pooled, text).float().cpu().numpy()


def _scored(
    model: CSSAClassifier,
    dataset: SemiMultiLabelDataset,
    indices: np.ndarray,
    scores: np.ndarray,
    zero_shot: np.ndarray,
) -> ScoredImages:
    labels = np.asarray(dataset.labels)[indices]
    return ScoredImages(indices, scores, zero_shot, model.thresholds.reached(scores), labels)


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
