"""MAT: per class the threshold with the best F_beta on the labelled images."""

from __future__ import annotations

from math import inf

import numpy as np
import torch
from torch import Tensor

from cssa_mm.semi.policies.options import check_options
from cssa_mm.semi.policies.pseudo_labels import PseudoLabels, as_labels, checked_labelled, checked_scores
from cssa_mm.values import AboveZero


def mat(
    scores: Tensor,
    positive_rates: Tensor | None,
    labelled_scores: Tensor,
    labelled_labels: Tensor,
    *,
    beta: AboveZero = 0.5,
) -> PseudoLabels:
    """Metric-adaptive thresholds: per class the one with the best F_beta on the labelled images (read in D2L).

    Cells at or above the threshold are positive, all below it negative; nothing between is masked (D2L). Of
    equally good thresholds the lowest is taken (D2L). D2L searches a grid of step .01; here every cut between
    two labelled scores is tried, and the threshold lies halfway between them (reconstruction). A class without
    labelled positives has no F_beta and is masked as a whole (reconstruction).

    The teacher has learned the labelled images and separates their positives from their negatives better than those of
    other images, so the unlabelled images get less precision and recall than the thresholds promise.

    Args:
        scores: (m, C), this process's share, compared as float32.
        positive_rates: ignored; there for the common call.
        labelled_scores: (n, C), the same teacher's on the n labelled images.
        labelled_labels: (n, C) in {1, 0, -1}; unknown cells (-1) are left out.
        beta: below 1, precision counts more than recall.

    Raises:
        ConfigError: beta is out of its range.
        CSSAError: scores hold NaN, shapes do not fit, or no label is known.
    """
    check_options(mat, beta=beta)
    scores = checked_scores(scores)
    known_scores, known_labels = checked_labelled(scores, labelled_scores, labelled_labels)
    thresholds = np.full(scores.shape[1], inf, dtype=np.float32)
    for c in range(scores.shape[1]):
        known = known_labels[:, c] >= 0
        thresholds[c] = _threshold_with_best_f_beta(known_scores[known, c], known_labels[known, c] == 1, beta)
    positive_thresholds = torch.from_numpy(thresholds).to(scores.device)
    below = torch.nextafter(positive_thresholds, torch.full_like(positive_thresholds, -inf))
    negative_thresholds = torch.where(positive_thresholds == inf, -inf, below)
    labels = as_labels(scores >= positive_thresholds, scores <= negative_thresholds)
    return PseudoLabels(labels, None, positive_thresholds, negative_thresholds)


def _threshold_with_best_f_beta(scores: np.ndarray, positive: np.ndarray, beta: float) -> float:
    """The threshold of one class with n known cells: scores (n,) and truths (n,); +inf without positives."""
    if not positive.any():
        return inf
    order = np.argsort(-scores, kind='stable')
    scores, right = scores[order], np.cumsum(positive[order])
    accepted = np.arange(1, len(scores) + 1)
    # (1 + b2) tp / ((1 + b2) tp + b2 fn + fp), after every score that differs from the next.
    f_beta = (1 + beta**2) * right / (accepted + beta**2 * right[-1])
    is_cut = np.append(scores[1:] < scores[:-1], True)
    last = np.flatnonzero(is_cut & (f_beta == f_beta[is_cut].max()))[-1]
    if last + 1 == len(scores):
        return scores[last]
    middle = np.float32((scores[last] + scores[last + 1]) / 2)
    return middle if middle > scores[last + 1] else scores[last]
