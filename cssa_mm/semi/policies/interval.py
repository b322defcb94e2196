"""Intervals: quotas that allow for how little a few labels say about a class's rate."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from cssa_mm.semi.policies.class_distribution import cat
from cssa_mm.semi.policies.options import check_options
from cssa_mm.semi.policies.pseudo_labels import PseudoLabels, checked_labelled, checked_scores
from cssa_mm.values import AboveZero, Range


def interval(
    scores: Tensor,
    positive_rates: Tensor | None,
    labelled_scores: Tensor,
    labelled_labels: Tensor,
    *,
    confidence: Annotated[float, Range(0, 1, above=True, below=True)] = 0.8,
    prior: AboveZero = 1.0,
) -> PseudoLabels:
    """The quotas of :func:`cat` from a credible interval of each class's rate, and weights (ours).

    A class with k positives among m known labels has a rate of Beta(k + 1/2, m - k + 1/2) (Jeffreys). With the
    equal-tailed interval (low, high) of that distribution, the low * M images with the highest scores are positive,
    the (1 - high) * M with the lowest negative, and all between are masked. So a class with few labels gets fewer
    pseudo-labels, and with many labels the quotas become those of CAT. Without a labelled positive a class is masked
    as a whole, as in CAT; without a labelled negative it gets no pseudo-negative.

    The positives of a class weigh the share of its labelled images at or above the same threshold that are positive,
    its negatives the share at or below the other one that are negative, both with a Beta(prior, prior) prior. The
    teacher has learned the labelled images, so the share is too high where labels are few; there the prior pulls it
    towards one half. On one draw of the demo's validation scenes, positives weighed .84, .84 and .82 with 70, 280 and
    700 labelled scenes, and .79, .83 and .83 of them were right.

    Args:
        scores: (m, C), this process's share, compared as float32.
        positive_rates: ignored; there for the common call. The labels say how many there are behind each rate.
        labelled_scores: (n, C), the same teacher's on the n labelled images.
        labelled_labels: (n, C) in {1, 0, -1}; unknown cells (-1) are left out.
        confidence: probability that the rate lies in the interval; towards 0 the quotas are those of its median.
        prior: number of imagined right, and of imagined wrong, labels behind each weight.

    Raises:
        ConfigError: an option is out of its range.
        CSSAError: scores hold NaN, shapes do not fit, or no label is known.
    """
    check_options(interval, confidence=confidence, prior=prior)
    scores = checked_scores(scores)
    known_scores, labels = checked_labelled(scores, labelled_scores, labelled_labels)
    positive, negative = labels == 1, labels == 0
    low, high = _interval_of_rates(positive.sum(0), negative.sum(0), confidence)
    found = cat(scores, torch.from_numpy(low), eta_negative=1.0, negative_rates=torch.from_numpy(1 - high))
    above = known_scores >= found.positive_thresholds.cpu().numpy()
    below = known_scores <= found.negative_thresholds.cpu().numpy()
    weights = torch.where(
        found.labels == 1,
        _share_right(above & positive, above & negative, prior).to(scores),
        _share_right(below & negative, below & positive, prior).to(scores),
    )
    return replace(found, weights=weights)


def _interval_of_rates(
    positives: np.ndarray, negatives: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (C,) of the rates of classes with these counts (C,)."""
    from scipy.stats import beta  # takes long, and most commands do without

    tail = (1 - confidence) / 2
    low, high = beta.ppf([[tail], [1 - tail]], positives + 0.5, negatives + 0.5)
    return np.where(positives > 0, low, 0.0), np.where(negatives > 0, high, 1.0)


def _share_right(right: np.ndarray, wrong: np.ndarray, prior: float) -> Tensor:
    """Share (C,) of the cells (n, C) that are right, under a Beta(prior, prior) prior."""
    right, wrong = right.sum(0), wrong.sum(0)
    return torch.from_numpy((right + prior) / (right + wrong + 2 * prior))
