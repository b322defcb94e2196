"""Mean average precision (mAP), class-averaged F1 (CF1) and overall F1 (OF1) of scores.

mmpretrain's own differ: its macro F1 averages the F1 of the classes, which is not CF1, and its average
precision counts a class that is absent from the test set as 0 and depends on the order of the images under
ties.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cssa_mm.errors import DataError


def average_precision_per_class(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """scikit-learn's average precision of each class.

    Args:
        scores: (M, C).
        labels: (M, C) in {1, 0, -1}; unknown cells (-1) are left out.

    Returns:
        float64 (C,) from 0 to 1, nan for a class without positives or without negatives: whatever the scores, its
        average precision would be undefined or 1.

    Raises:
        DataError: shapes differ, a score is not finite, or a label is not 1, 0 or -1.
    """
    from sklearn.metrics import average_precision_score  # takes long, and most commands do without

    scores, labels = _checked(scores, labels)
    precision = np.full(labels.shape[1], np.nan)
    for c in range(labels.shape[1]):
        known = labels[:, c] != -1
        truth = labels[known, c] == 1
        if truth.any() and not truth.all():
            precision[c] = average_precision_score(truth, scores[known, c])
    return precision


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean average precision, from 0 to 1, over the classes with positives and negatives (nan if there
    are none).

    Args:
        scores: (M, C).
        labels: (M, C) in {1, 0, -1}; unknown cells (-1) are left out.
    """
    return mean_of_finite(average_precision_per_class(scores, labels))


def cf1_of1(scores: np.ndarray, labels: np.ndarray, threshold: float | Sequence[float] = 0.5) -> tuple[float, float]:
    """CF1 and OF1, each from 0 to 1.

    CF1 is the harmonic mean of the class-averaged precision and recall, over the classes with positives; a
    class for which nothing is predicted has precision 0. OF1 is the same of precision and recall of all cells
    pooled.

    Args:
        scores: (M, C); predictions 0/1 pass unchanged with the default threshold.
        labels: (M, C) in {1, 0, -1}; unknown cells (-1) are left out.
        threshold: one for all classes or (C,); a score at or above it predicts the class.

    Raises:
        DataError: shapes differ, a score is not finite, or a label is not 1, 0 or -1.
    """
    scores, labels = _checked(scores, labels)
    thresholds = np.asarray(threshold)
    if thresholds.shape not in ((), scores.shape[1:]):
        raise DataError(
            f'CF1 and OF1: thresholds of shape {thresholds.shape}; expected one number or {scores.shape[1]}.'
        )
    predicted = (scores >= thresholds) & (labels != -1)
    right = (predicted & (labels == 1)).sum(0)
    return cf1_of1_of_counts(right, predicted.sum(0), (labels == 1).sum(0))


def cf1_of1_of_counts(right: np.ndarray, predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """:func:`cf1_of1` from counts (C,) of cells with known labels: predicted and true, predicted, true."""
    occurs = true > 0
    class_precision = mean_of_finite(right[occurs] / np.maximum(predicted[occurs], 1))
    class_recall = mean_of_finite(right[occurs] / true[occurs])
    overall_precision = right.sum() / max(predicted.sum(), 1)
    overall_recall = right.sum() / true.sum() if occurs.any() else float('nan')
    return _harmonic_mean(class_precision, class_recall), _harmonic_mean(overall_precision, overall_recall)


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise DataError(
            f'Metrics: scores of shape {scores.shape} and labels of shape {labels.shape}; '
            'expected both (images, classes).'
        )
    if not np.isin(labels, (1, 0, -1)).all():
        raise DataError('Metrics: labels hold other values than 1 (positive), 0 (negative) and -1 (unknown).')
    if not np.isfinite(scores).all():
        raise DataError(
            f'Metrics: {(~np.isfinite(scores)).sum()} of {scores.size} scores are NaN or infinite; '
            'the model has diverged: lower the learning rate.'
        )
    return scores, labels


def mean_of_finite(values: np.ndarray) -> float:
    """The mean of the finite values; nan if there are none."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float('nan')


def _harmonic_mean(precision: float, recall: float) -> float:
    return float(2 * precision * recall / (precision + recall)) if precision + recall != 0 else 0.0
