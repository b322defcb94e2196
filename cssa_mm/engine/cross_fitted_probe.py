"""The linear probe with calibration and thresholds found as those of a trained model are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.engine.cross_fitting import deal_folds
from cssa_mm.engine.found_thresholds import FoldScores, Found, find
from cssa_mm.evaluation.linear_probe import probe_scores


def cross_fitted_probe(
    train: SemiMultiLabelDataset,
    labelled: np.ndarray,
    references: np.ndarray,
    test: np.ndarray,
    penalty: float,
    hook: CalibrationHook,
) -> tuple[np.ndarray, Found]:
    """Raw scores (m, C) of the test images, and what was found on labels that a probe did not see.

    Args:
        train: the training set.
        labelled: unit global features (n, D) of its labelled images.
        references: those (r, D) of unlabelled images; none (0, D) lets the held-out ones speak.
        test: those (m, D) of the test images.
        penalty: of the probe.
        hook: the options of calibration.
    """
    indices = train.labelled_indices
    labels = train.labels[indices]

    def scores(rows: np.ndarray, *others: np.ndarray) -> Sequence[np.ndarray]:
        found = probe_scores(labelled[rows], labels[rows], np.concatenate(others), penalty).astype(np.float32)
        return np.split(found, np.cumsum([len(other) for other in others])[:-1])

    raw, spread = scores(np.arange(len(labelled)), test, references)
    folds = []
    for held_out in deal_folds(train, hook.folds, hook.seed) if hook.folds else []:
        rows = np.searchsorted(indices, held_out)
        rest = np.setdiff1d(np.arange(len(labelled)), rows)
        folds.append((FoldScores(held_out, *scores(rest, labelled[rows], references)), labels[rows]))
    return raw, find(hook.rule, spread, labels, folds, train.class_names, hook.min_positives)
