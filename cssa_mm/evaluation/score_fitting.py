"""Fit calibration and thresholds to scores whose labels the model did not see (ours; Platt 1999, Lipton et al. 2014).

Calibration is logistic regression on the standardised logits of all classes at once: one slope and offset for all,
the class's rate, and for each class a deviation from both that a penalty shrinks. A class with many labels gets its own
map; one with few keeps the pooled one. Thresholds of the rule 'f1' maximise the F1 that calibrated scores let expect.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cssa_mm.evaluation.logistic import fit_logistic

# Prior standard deviations of the weights: of those that all classes share, and of a class's deviations from them.
SHARED, OWN = 10.0, 0.5
# Labels of a class never turn its ranking around, nor flatten it so much that float32 scores become equal.
LOWEST_SLOPE = 0.05
MOST_IMAGES = 4096  # that are fitted to, spread over all: more change nothing but the time
# A float32 score of exactly 0 or 1 has no logit; these are beyond its neighbours, so that no two scores become equal.
LOWEST, HIGHEST = 1e-45, 1 - 2.0**-25
GRID = np.linspace(0.01, 0.99, 99)


class Spread(NamedTuple):
    """Mean and standard deviation, float64 (C,) each, of the logits that a model gives to many images."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray) -> Spread:
        """That of raw scores (m, C)."""
        values = logits(scores)
        return cls(values.mean(0), np.maximum(values.std(0), 1e-6))

    def standardised(self, scores: np.ndarray) -> np.ndarray:
        """Standardised logits (n, C) of raw scores (n, C)."""
        return (logits(scores) - self.mean) / self.deviation


class Maps(NamedTuple):
    """calibrated = expit(slope * logit + offset), float64 (C,) each."""

    slope: np.ndarray
    offset: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Calibrated scores (n, C), float64, of logits (n, C)."""
        return sigmoid(self.slope * values + self.offset)

    def of_raw(self, spread: Spread) -> Maps:
        """The same for raw logits, where these are for standardised ones."""
        slope = self.slope / spread.deviation
        return Maps(slope, self.offset - slope * spread.mean)


def logits(scores: np.ndarray) -> np.ndarray:
    """Logits, float64, of float32 scores; those of 0 and 1 are finite."""
    scores = np.clip(np.asarray(scores, np.float64), LOWEST, HIGHEST)
    return np.log(scores) - np.log1p(-scores)


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-values)), float64."""
    from scipy.special import expit  # takes long, and most commands do without

    return expit(values)


def smoothed_rates(labels: np.ndarray) -> np.ndarray:
    """Rates of positives (C,) among the known cells of labels (n, C): (positives + 1/2) / (known + 1).

    A class without any known cell gets the rate of all classes together.
    """
    positives, known = (labels == 1).sum(0), (labels >= 0).sum(0)
    pooled = (positives.sum() + 0.5) / (known.sum() + 1)
    return np.where(known > 0, (positives + 0.5) / (known + 1), pooled)


def fit_maps(values: np.ndarray, labels: np.ndarray) -> Maps | None:
    """The calibration of C classes; None if all labels are equal.

    Args:
        values: standardised logits (n, C) by models that did not see the labels.
        labels: (n, C) in 1, 0, -1 (unknown).
    """
    from scipy import sparse  # takes long, and most commands do without

    # In the order of a data set, the first images may all be of the first classes.
    most = min(len(labels), MOST_IMAGES)
    kept = np.arange(most) * len(labels) // most
    values, labels = values[kept], labels[kept]
    known = labels >= 0
    positive = labels[known] == 1
    if not 0 < positive.sum() < len(positive):
        return None
    num_classes = labels.shape[1]
    rates = smoothed_rates(labels)
    prior = np.log(rates / (1 - rates))
    z, classes = values[known], np.nonzero(known)[1]
    rows = np.arange(len(z))

    def per_class(cells: np.ndarray) -> Any:
        return sparse.csr_matrix((OWN * cells, (rows, classes)), shape=(len(z), num_classes))

    shared = sparse.csr_matrix(SHARED * np.stack([z, prior[classes]], 1))
    readings = sparse.hstack([shared, per_class(z), per_class(np.ones(len(z)))]).tocsr()
    fitted = fit_logistic(readings, positive, 1.0)
    weights, own = fitted.coef_[0], OWN * fitted.coef_[0][2:].reshape(2, -1)
    slope = SHARED * weights[0] + own[0]
    return Maps(np.maximum(slope, LOWEST_SLOPE), fitted.intercept_[0] + SHARED * weights[1] * prior + own[1])


def expected_f1_thresholds(calibrated: np.ndarray) -> np.ndarray:
    """Per class the threshold (C,) with the highest F1 that calibrated scores (n, C) of any images let expect."""
    return np.array([_best_cut(column) for column in np.asarray(calibrated).T])


def _best_cut(scores: np.ndarray) -> float:
    ranked = np.sort(scores)[::-1]
    expected = 2 * np.cumsum(ranked) / (np.arange(1, len(ranked) + 1) + ranked.sum())
    last = int(expected.argmax())  # the last image that gets the label
    below = ranked[last + 1] if last + 1 < len(ranked) else ranked[last]
    return float((ranked[last] + below) / 2)


def rate_thresholds(scores: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Per class the threshold (C,) that gives the label to its rate (C,) of n images with scores (n, C)."""
    return np.array([np.quantile(column, 1 - rate) for column, rate in zip(np.asarray(scores).T, rates, strict=True)])


def one_threshold(calibrated: np.ndarray, labels: np.ndarray) -> float:
    """The threshold for all classes with the highest F1 over all known cells of labels (n, C)."""
    known = labels >= 0
    scores, positive = calibrated[known], labels[known] == 1
    f1 = [2 * (positive & (scores >= cut)).sum() / ((scores >= cut).sum() + positive.sum()) for cut in GRID]
    return float(GRID[int(np.argmax(f1))])


def fit_shared_map(values: np.ndarray, labels: np.ndarray) -> tuple[float, float, float] | None:
    """One map for all classes, from values (n, C) of any scale: slope, offset, and the threshold of the highest F1.

    None if all labels (n, C) are equal, or if higher values are no more often positive.
    """
    known = labels >= 0
    positive = labels[known] == 1
    if not 0 < positive.sum() < len(positive):
        return None
    inputs = np.asarray(values, np.float64)[known][:, None]
    scale = max(float(inputs.std()), 1e-12)
    fitted = fit_logistic(inputs / scale, positive, 1e3)
    slope, offset = float(fitted.coef_[0][0]) / scale, float(fitted.intercept_[0])
    if slope <= 0:
        return None
    return slope, offset, one_threshold(sigmoid(slope * values + offset), labels)
