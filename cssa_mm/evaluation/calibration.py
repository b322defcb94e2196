"""Calibration of scores: of the cells scored 0.8, four in five should be positive."""

from __future__ import annotations

import numpy as np

from cssa_mm.errors import DataError

UNIT = 2.0**24  # parts of 1 that scores are summed in
CELLS = 2**20  # scores that are counted at a time


def reliability(scores: np.ndarray, truth: np.ndarray, bins: int = 10) -> dict[str, np.ndarray]:
    """Score against truth in bins of equal width; a score on an edge belongs to the bin below it.

    Args:
        scores: in [0, 1], any shape.
        truth: of that shape, in {1, 0, -1}; unknown cells (-1) are left out.
        bins: number of bins.

    Returns:
        ``count`` of the cells in each bin (bins,), and ``score`` and ``positive``, their mean score and share of
        positives, nan in an empty bin.

    Raises:
        DataError: the shapes differ.
    """
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth)
    if scores.shape != truth.shape:
        raise DataError(
            f'Calibration: scores of shape {scores.shape} and truth of shape {truth.shape}; expected equal shapes.'
        )
    scores, positive = scores[truth != -1], truth[truth != -1] == 1
    where = _bin_of(scores, bins)
    count = np.bincount(where, minlength=bins)
    divisor = np.where(count > 0, count, np.nan)
    return {
        'count': count,
        'score': np.bincount(where, weights=scores, minlength=bins) / divisor,
        'positive': np.bincount(where, weights=positive, minlength=bins) / divisor,
    }


def expected_calibration_error(table: dict[str, np.ndarray]) -> float:
    """Mean distance of score and share of positives over all cells of a :func:`reliability` table, from 0 to 1.

    nan for a table without cells.
    """
    total = table['count'].sum()
    if not total:
        return float('nan')
    return float(np.nansum(table['count'] * np.abs(table['score'] - table['positive'])) / total)


def calibration_error(scores: np.ndarray, truth: np.ndarray, bins: int = 10) -> float:
    """The expected calibration error of scores, from 0 to 1; see :func:`reliability`. nan without known cells.

    Raises:
        DataError: the shapes differ.
    """
    return expected_calibration_error(reliability(scores, truth, bins))


def brier_score(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean squared distance of scores and truth over the known cells, from 0 to 1; nan without known cells.

    Args:
        scores: in [0, 1], any shape.
        truth: of that shape, in {1, 0, -1}; unknown cells (-1) are left out.
    """
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth)
    known = truth != -1
    return float(np.mean((scores[known] - (truth[known] == 1)) ** 2)) if known.any() else float('nan')


def calibration(scores: np.ndarray, truth: np.ndarray, bins: int = 10) -> dict[str, np.ndarray | float | dict]:
    """Calibration of scores (M, C) against the truth (M, C) in {1, 0, -1}.

    Returns:
        ``calibration_error``, the expected calibration error of each class (C,), ``overall_calibration_error``
        over all cells, and their ``reliability`` table.

    Raises:
        DataError: the shapes differ.
    """
    return calibration_of_counts(calibration_counts(scores, truth, bins))


def calibration_counts(scores: np.ndarray, truth: np.ndarray, bins: int = 10) -> np.ndarray:
    """What :func:`calibration_of_counts` needs to know of scores (M, C), int64 (4, C, bins): sums of parts are of all.

    Per class and bin: known cells, positives among them, and the sum of their scores in two parts, in units of 2 to
    the -24 and to the -48. Whole numbers add up to the same sum in any order.

    Raises:
        DataError: the shapes differ.
    """
    scores, truth = np.asarray(scores), np.asarray(truth)
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise DataError(
            f'Calibration: scores of shape {scores.shape} and truth of shape {truth.shape}; expected equal shapes.'
        )
    num_classes = scores.shape[1]
    found = np.zeros((4, num_classes * bins), np.int64)
    size = max(1, CELLS // max(1, num_classes))
    for start in range(0, len(scores), size):
        known = truth[start : start + size] != -1
        score = scores[start : start + size][known].astype(np.float64) * UNIT
        positive = truth[start : start + size][known] == 1
        where = np.nonzero(known)[1] * bins + _bin_of(score / UNIT, bins)
        whole = np.floor(score)
        # Float64 holds these sums exactly: they stay below 2 to the 53.
        for row, weights in enumerate((None, positive, whole, np.rint((score - whole) * UNIT))):
            found[row] += np.bincount(where, weights, num_classes * bins).astype(np.int64)
    return found.reshape(4, num_classes, bins)


def calibration_of_counts(counts: np.ndarray) -> dict[str, np.ndarray | float | dict]:
    """The result of :func:`calibration` from :func:`calibration_counts`."""
    errors = [expected_calibration_error(_table(*of_class)) for of_class in counts.swapaxes(0, 1)]
    table = _table(*counts.sum(1))
    return {
        'calibration_error': np.array(errors),
        'overall_calibration_error': expected_calibration_error(table),
        'reliability': table,
    }


def _table(count: np.ndarray, positive: np.ndarray, whole: np.ndarray, rest: np.ndarray) -> dict[str, np.ndarray]:
    """A :func:`reliability` table from counts (bins,)."""
    divisor = np.where(count > 0, count, np.nan)
    return {'count': count, 'score': (whole + rest / UNIT) / UNIT / divisor, 'positive': positive / divisor}


def _bin_of(scores: np.ndarray, bins: int) -> np.ndarray:
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], scores)
