"""The linear probe: a logistic regression per class on frozen features."""

from __future__ import annotations

import warnings

import numpy as np


def probe_scores(features: np.ndarray, labels: np.ndarray, test_features: np.ndarray, penalty: float) -> np.ndarray:
    """Fit on n labelled images and score m others.

    A class without labelled positives or negatives gets its constant rate as score. Cells of unknown labels are left
    out.

    Args:
        features: those of the labelled images (n, D).
        labels: their labels (n, C) in {1, 0, -1}, -1 unknown.
        test_features: those of the others (m, D).
        penalty: weight of the squared norm (1/C of scikit-learn), above 0.

    Returns:
        Scores (m, C) in [0, 1].
    """
    from sklearn.exceptions import ConvergenceWarning  # takes long, and most commands do without
    from sklearn.linear_model import LogisticRegression

    scores = np.zeros((len(test_features), labels.shape[1]))
    for column, target in enumerate(labels.T):
        rows = target >= 0
        if len(np.unique(target[rows])) < 2:
            scores[:, column] = target[rows].mean() if rows.any() else 0.0
            continue
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', ConvergenceWarning)
            classifier = LogisticRegression(C=1 / penalty, max_iter=2000).fit(features[rows], target[rows])
        scores[:, column] = classifier.predict_proba(test_features)[:, 1]
    return scores
