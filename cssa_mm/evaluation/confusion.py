"""Confusion of several labels: one 2 x 2 table for each class."""

from __future__ import annotations

import numpy as np


def confusion_tables(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The tables of `sklearn.metrics.multilabel_confusion_matrix`, without the cells whose truth is unknown.

    Args:
        predicted: bool (n, C), the labels that a model gave n images.
        labels: (n, C) in {1, 0, -1}; unknown cells (-1) are left out.

    Returns:
        int64 (C, 2, 2): for each class [[true negatives, false positives], [false negatives, true positives]].
    """
    predicted = predicted.astype(bool)
    cells = [[(labels == truth) & (predicted == bool(answer)) for answer in (0, 1)] for truth in (0, 1)]
    return np.array([[cell.sum(axis=0) for cell in row] for row in cells], dtype=np.int64).transpose(2, 0, 1)
