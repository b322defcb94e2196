"""What a study measures of a model's scores on the test set: raw scores, calibration and labels together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.engine.cross_fitted_probe import cross_fitted_probe
from cssa_mm.evaluation import average_precision_per_class, cf1_of1
from cssa_mm.evaluation.calibration import brier_score, calibration_error
from cssa_mm.features.encode import Features, unit_pooled
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.models.score_calibration import ScoreCalibration
from cssa_mm.models.thresholds import ClassThresholds

PENALTY = 0.1  # of the linear probe, as in `cssa linear-probe`
Labelling = tuple[ScoreCalibration, ClassThresholds]


def probe(
    train_features: FrozenFeatures,
    train: SemiMultiLabelDataset,
    test_features: Sequence[Features],
    hook: CalibrationHook | None,
) -> tuple[np.ndarray, Labelling]:
    """Raw scores (m, C) of the linear probe on the test set, and its calibration and thresholds, found in folds."""
    every = unit_pooled(train_features.batches(np.arange(len(train)), 'Linear probe'))
    labelled, unlabelled = every[train.labelled_indices], every[train.unlabelled_indices]
    options = hook or CalibrationHook(rule='none')
    raw, found = cross_fitted_probe(train, labelled, unlabelled, unit_pooled(test_features), PENALTY, options)
    return raw, (found.calibration, found.thresholds)


def metrics(
    raw: np.ndarray, labelling: Labelling, test: SemiMultiLabelDataset, train_labels: np.ndarray, min_positives: int
) -> dict:
    """In per cent: mAP, CF1 and OF1 at the thresholds of the model, calibration before and after.

    Of the classes with enough positives in both sets.

    Args:
        raw: scores (m, C) before calibration.
        labelling: calibration and thresholds.
        test: the test set.
        train_labels: the truth (n, C) of the training set.
        min_positives: what is enough.
    """
    calibration, thresholds = labelling
    calibrated = calibration(torch.from_numpy(raw)).numpy()
    counts = np.minimum((test.labels == 1).sum(0), (train_labels == 1).sum(0))
    kept = np.flatnonzero(counts >= min_positives)
    labels = test.labels[:, kept]
    per_class = 100 * average_precision_per_class(raw[:, kept], labels)
    cf1, of1 = cf1_of1(thresholds.reached(calibrated)[:, kept], labels)
    average = {
        test.class_names[c]: round(float(value), 4)
        for c, value in zip(kept, per_class, strict=True)
        if np.isfinite(value)
    }
    found = dict(mAP=float(np.nanmean(per_class)), CF1=100 * cf1, OF1=100 * of1, AP=average)
    for prefix, scores in (('raw_', raw), ('', calibrated)):
        for name, measure in (('ECE', calibration_error), ('Brier', brier_score)):
            found[f'{prefix}{name}'] = 100 * measure(scores[:, kept], labels)
    return found
