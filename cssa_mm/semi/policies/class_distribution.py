"""CAT: the number of pseudo-positives per class follows its rate in the labelled set."""

from __future__ import annotations

from math import inf

from torch import Tensor

from cssa_mm.semi.policies.options import check_options
from cssa_mm.semi.policies.pseudo_labels import PseudoLabels, as_labels, checked_rates, checked_scores
from cssa_mm.semi.policies.selection import num_images, scores_at
from cssa_mm.values import NotNegative


def cat(
    scores: Tensor,
    positive_rates: Tensor,
    *,
    eta_positive: NotNegative = 1.0,
    eta_negative: NotNegative = 0.998,
    negative_rates: Tensor | None = None,
) -> PseudoLabels:
    """Class-distribution-aware thresholds (paper; the exact steps are read in CAP).

    M are the images of all processes, of which each sees its share. The positive threshold of class c is the
    score of rank ``floor(eta_positive * positive_rates[c] * M)`` from the top, the negative one the score of rank
    ``floor(eta_negative * negative_rates[c] * M)`` from the bottom;
    cells at or above the first are positive, at or below the second negative, all others masked. A quota of 0 gives no
    label of its kind. A class without labelled positives (rate 0) is masked as a whole (reconstruction): there is no
    evidence to draw positives from it, nor that it never occurs.

    Args:
        scores: (m, C), this process's share of the M images, compared as float32.
        positive_rates: (C,) in [0, 1], the rate of labelled images with the class; best computed in float64,
            as a float32 rate can miss a whole-numbered quota by one.
        eta_positive: share of the positive quota that is used.
        eta_negative: share of the negative quota that is used.
        negative_rates: (C,) in [0, 1]; 1 - positive_rates if not given.

    Raises:
        ConfigError: an option is out of its range.
        CSSAError: scores hold NaN, or rates lie outside [0, 1] or do not fit the scores.
    """
    check_options(cat, eta_positive=eta_positive, eta_negative=eta_negative)
    scores = checked_scores(scores)
    positive_rates = checked_rates('positive_rates', positive_rates, scores)
    if negative_rates is None:
        negative_rates = 1 - positive_rates
    else:
        negative_rates = checked_rates('negative_rates', negative_rates, scores)

    occurs = positive_rates > 0
    total = num_images(scores)
    positive_quotas = _quotas(eta_positive * positive_rates, total) * occurs
    negative_quotas = _quotas(eta_negative * negative_rates, total) * occurs
    highest = scores_at(scores, positive_quotas.clamp(min=1))
    lowest = scores_at(scores, (total + 1 - negative_quotas).clamp(max=total))
    positive_thresholds = highest.masked_fill(positive_quotas == 0, inf)
    negative_thresholds = lowest.masked_fill(negative_quotas == 0, -inf)
    labels = as_labels(
        positive=(scores >= positive_thresholds) & (positive_quotas > 0),
        negative=(scores <= negative_thresholds) & (negative_quotas > 0),
    )
    return PseudoLabels(labels, None, positive_thresholds, negative_thresholds)


def _quotas(shares: Tensor, num_images: int) -> Tensor:
    # The guard keeps whole numbers whole: 0.29 * 100 is 28.999999999999996 in float64.
    return (shares * num_images + 1e-9).floor().clamp(max=num_images).long()
