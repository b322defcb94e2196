"""Quality of pseudo-labels: counts, precision and recall, per class and over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cssa_mm.errors import DataError
from cssa_mm.evaluation.metrics import cf1_of1_of_counts
from cssa_mm.evaluation.text_table import aligned, rounded


def pseudo_label_quality(labels: np.ndarray, truth: np.ndarray | None = None) -> dict[str, Any]:
    """Count pseudo-labels and compare the positives with the truth.

    Args:
        labels: pseudo-labels (M, C) in {1, 0, -1}, -1 masked.
        truth: true labels (M, C) in {1, 0, -1}; -1 cells, or all if it is not given, are left out of
            precision and recall.

    Returns:
        Per class, as arrays (C,): ``positives``, ``negatives`` and ``masked`` (counts), ``precision`` (share
        of the positive pseudo-labels that are true), ``recall`` (share of the true positives that got a
        positive pseudo-label) and ``F1``. Over all cells, as floats: ``micro_precision``, ``micro_recall``,
        ``masked_share`` and ``CF1``, as :func:`~cssa_mm.evaluation.metrics.cf1_of1` has it. Shares are
        from 0 to 1, nan where there is nothing to divide by.

    Raises:
        DataError: the shapes are not both (M, C).
    """
    return quality_of_counts(quality_counts(labels, truth))


def quality_counts(labels: np.ndarray, truth: np.ndarray | None = None) -> np.ndarray:
    """What :func:`quality_of_counts` needs to know of pseudo-labels (M, C), int64 (6, C): sums of parts are of all.

    Per class: positives, negatives, masked, positives whose truth is known, those that are true, true ones.

    Raises:
        DataError: the shapes are not both (M, C).
    """
    labels = np.asarray(labels)
    truth = np.full_like(labels, -1) if truth is None else np.asarray(truth)
    if labels.ndim != 2 or labels.shape != truth.shape:
        raise DataError(
            f'Pseudo-labels of shape {labels.shape} and truth of shape {truth.shape}; expected both (images, classes).'
        )
    positive, is_true = labels == 1, truth == 1
    cells = (positive, labels == 0, labels == -1, positive & (truth != -1), positive & is_true, is_true)
    return np.stack([rule.sum(0, dtype=np.int64) for rule in cells])


def quality_of_counts(counts: np.ndarray) -> dict[str, Any]:
    """The result of :func:`pseudo_label_quality` from :func:`quality_counts`."""
    positives, negatives, masked, judged, right, true = counts
    return {
        'positives': positives,
        'negatives': negatives,
        'masked': masked,
        'precision': _share(right, judged),
        'recall': _share(right, true),
        'F1': _share(2 * right, judged + true),
        'CF1': cf1_of1_of_counts(right, judged, true)[0],
        'micro_precision': float(_share(right.sum(), judged.sum())),
        'micro_recall': float(_share(right.sum(), true.sum())),
        'masked_share': float(_share(masked.sum(), (positives + negatives + masked).sum())),
    }


def format_table(
    class_names: Sequence[str] | None,
    quality: Mapping[str, Any],
    positive_thresholds: np.ndarray | None = None,
    negative_thresholds: np.ndarray | None = None,
) -> str:
    """The result of :func:`pseudo_label_quality` as an aligned text table: a row per class and one for all.

    Precision and recall are in per cent. Unknown values, such as precision without truth or the threshold
    of a class that gets no labels, are shown as ``-``.

    Args:
        class_names: C names; None for numbers.
        quality: from :func:`pseudo_label_quality`.
        positive_thresholds: (C,).
        negative_thresholds: (C,).

    Raises:
        DataError: names or thresholds are not C in number.
    """
    num_classes = len(quality['positives'])
    names = [str(c) for c in range(num_classes)] if class_names is None else list(class_names)
    nothing = np.full(num_classes, np.nan)
    upper = nothing if positive_thresholds is None else np.asarray(positive_thresholds)
    lower = nothing if negative_thresholds is None else np.asarray(negative_thresholds)
    columns: dict[str, Any] = {'class': names, 'thr+': upper, 'thr-': lower}
    columns |= {key: quality[key] for key in ('positives', 'negatives', 'masked', 'precision', 'recall')}
    for name, column in columns.items():
        if len(column) != num_classes:
            raise DataError(f'Table of pseudo-labels: {len(column)} entries for {name}; expected {num_classes}.')
    rows = [list(columns)]
    for name, high, low, positives, negatives, masked, precision, recall in zip(*columns.values(), strict=True):
        rows.append(
            [name, rounded(high, 4), rounded(low, 4), str(positives), str(negatives), str(masked)]
            + [rounded(100 * precision, 1), rounded(100 * recall, 1)]
        )
    rows.append(
        ['all', '-', '-']
        + [str(quality[key].sum()) for key in ('positives', 'negatives', 'masked')]
        + [rounded(100 * quality['micro_precision'], 1), rounded(100 * quality['micro_recall'], 1)]
    )
    return aligned(rows)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
