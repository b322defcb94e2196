"""Policies that look at the scores alone: fixed thresholds, and the k best classes of each image."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from cssa_mm.errors import ConfigError
from cssa_mm.semi.policies.options import check_options
from cssa_mm.semi.policies.pseudo_labels import PseudoLabels, as_labels, checked_scores
from cssa_mm.values import Positive, Range

Threshold = Annotated[float, Range()]  # also an infinite one


def fixed(
    scores: Tensor, positive_rates: Tensor | None = None, *, positive: Threshold = 0.95, negative: Threshold = 0.05
) -> PseudoLabels:
    """The same two thresholds for every class, as in FixMatch (reconstruction).

    Args:
        scores: (m, C), this process's share, compared as float32.
        positive_rates: ignored; there for the common call.
        positive: scores at or above it are positive.
        negative: scores at or below it are negative.

    Raises:
        ConfigError: ``negative`` is not below ``positive``.
        CSSAError: scores hold NaN.
    """
    check_options(fixed, positive=positive, negative=negative)
    scores = checked_scores(scores)
    positive_thresholds = scores.new_full((scores.shape[1],), positive)
    negative_thresholds = scores.new_full((scores.shape[1],), negative)
    labels = as_labels(scores >= positive_thresholds, scores <= negative_thresholds)
    return PseudoLabels(labels, None, positive_thresholds, negative_thresholds)


def top_k(scores: Tensor, positive_rates: Tensor | None = None, *, k: Positive) -> PseudoLabels:
    """The k best classes of each image are positive, the others negative (reconstruction).

    Cells at or above the k-th best score of their image are positive, at or below the next one negative; a
    tie across that border is contradictory and masked. There are no thresholds per class: they are nan.

    Args:
        scores: (m, C), this process's share, compared as float32.
        positive_rates: ignored; there for the common call.
        k: positives for each image, 1 to C.

    Raises:
        ConfigError: k is not a whole number from 1 to C.
        CSSAError: scores hold NaN.
    """
    check_options(top_k, k=k)
    scores = checked_scores(scores)
    num_classes = scores.shape[1]
    if k > num_classes:
        raise ConfigError(f'Policy top_k: k={k}, but there are {num_classes} classes; lower k.')
    descending = scores.sort(dim=1, descending=True).values
    positive = scores >= descending[:, k - 1 : k]
    negative = scores <= descending[:, k : k + 1] if k < num_classes else torch.zeros_like(positive)
    no_thresholds = scores.new_full((num_classes,), float('nan'))
    return PseudoLabels(as_labels(positive, negative), None, no_thresholds, no_thresholds.clone())
