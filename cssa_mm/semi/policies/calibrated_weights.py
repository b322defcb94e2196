"""Calibrated weights: each pseudo-label weighs as much as it is likely to be right."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from cssa_mm.semi.policies.class_distribution import cat
from cssa_mm.semi.policies.options import check_options
from cssa_mm.semi.policies.pseudo_labels import PseudoLabels, checked_labelled, checked_scores
from cssa_mm.values import AboveZero, NotNegative, Range

CHUNK = 2**16  # images at a time


def calibrated(
    scores: Tensor,
    positive_rates: Tensor,
    labelled_scores: Tensor,
    labelled_labels: Tensor,
    *,
    bins: Annotated[int, Range(2, 1000)] = 20,
    prior: AboveZero = 1.0,
    eta_positive: NotNegative = 1.0,
    eta_negative: NotNegative = 0.998,
) -> PseudoLabels:
    """The labels of :func:`cat`, each weighted with its probability of being right (after DiCaP; reconstruction).

    p(s) is the probability that a cell of score s is positive. To estimate it, the cells of the labelled images, all
    classes together, are counted in bins of equal width; the rate of positives is smoothed by a Beta(prior, prior)
    prior, made monotone by isotonic regression, and interpolated between the centres of the bins. A positive weighs
    p(s), a negative 1 - p(s).

    The weight, the bins and the interpolation are those of DiCaP (AAAI 2026, known to us by description). Two things
    differ. DiCaP sets the labels by the mid-ranges of labelled scores; here CAT sets them, so that this policy differs
    from CAT in its weights alone. DiCaP holds a fifth of the labelled images out of the training to count on; here the
    teacher has learned the images that are counted, so weights are too close to 1 for high scores of positives and low
    scores of negatives. The prior pulls the sparse bins between them towards one half.

    Args:
        scores: (m, C) in [0, 1], this process's share, compared as float32.
        positive_rates: (C,) in [0, 1], as in :func:`cat`.
        labelled_scores: (n, C), the same teacher's on the n labelled images.
        labelled_labels: (n, C) in {1, 0, -1}; unknown cells (-1) are left out.
        bins: number of bins.
        prior: number of imagined positives, and of imagined negatives, in each bin.
        eta_positive: as in :func:`cat`.
        eta_negative: as in :func:`cat`.

    Raises:
        ConfigError: an option is out of its range.
        CSSAError: scores hold NaN, shapes do not fit, no label is known, or rates lie outside [0, 1].
    """
    check_options(calibrated, bins=bins, prior=prior)
    found = cat(scores, positive_rates, eta_positive=eta_positive, eta_negative=eta_negative)
    scores = checked_scores(scores)
    known_scores, known_labels = checked_labelled(scores, labelled_scores, labelled_labels)
    known = known_labels >= 0
    curve = _positive_rate_of_bins(known_scores[known], known_labels[known] == 1, bins, prior)
    centres = (np.arange(bins) + 0.5) / bins
    probability = torch.empty_like(scores)
    for part, found_part in zip(scores.split(CHUNK), probability.split(CHUNK), strict=True):  # float64 for a part alone
        found_part.copy_(torch.from_numpy(np.interp(part.cpu().numpy(), centres, curve)))
    return replace(found, weights=torch.where(found.labels == 1, probability, 1 - probability))


def _positive_rate_of_bins(scores: np.ndarray, positive: np.ndarray, bins: int, prior: float) -> np.ndarray:
    """Smoothed and monotone rate of positives in each bin, (bins,), from n cells (n,)."""
    from sklearn.isotonic import IsotonicRegression  # takes long, and most commands do without

    where = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(where, minlength=bins) + 2 * prior
    share = (np.bincount(where[positive], minlength=bins) + prior) / count
    return IsotonicRegression(y_min=0, y_max=1).fit_transform(np.arange(bins), share, sample_weight=count)
