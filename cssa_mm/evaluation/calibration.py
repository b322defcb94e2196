"""Calibration of scores: of the cells scored 0.8, four in five should be positive."""

from __future__ import annotations

import numpy as np

from cssa_mm.errors import DataError


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
    where = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], scores)
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
    table = reliability(scores, truth, bins)
    columns = zip(np.asarray(scores).T, np.asarray(truth).T, strict=True)
    return {
        'calibration_error': np.array([calibration_error(*column, bins=bins) for column in columns]),
        'overall_calibration_error': expected_calibration_error(table),
        'reliability': table,
    }
