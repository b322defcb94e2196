"""Calibration and thresholds from held-out scores, and what a log should say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from cssa_mm.evaluation.calibration import brier_score, calibration_error
from cssa_mm.evaluation.metrics import cf1_of1
from cssa_mm.evaluation.score_fitting import (
    Spread,
    expected_f1_thresholds,
    fit_maps,
    fit_shared_map,
    one_threshold,
    rate_thresholds,
    smoothed_rates,
)
from cssa_mm.models.score_calibration import ScoreCalibration, ZeroShotCalibration
from cssa_mm.models.thresholds import ClassThresholds

RULES = ('f1', 'rate', 'one')  # and 'none'
FEWEST_REFERENCES = 20  # images whose scores have a mean and a deviation worth the name


class FoldScores(NamedTuple):
    """Raw scores by a model that did not see the labels of some images.

    held_out: indices (h,) of these labelled images.
    scores: their scores (h, C).
    references: its scores (m, C) of the reference images, which tell its scale from that of another model.
    """

    held_out: np.ndarray
    scores: np.ndarray
    references: np.ndarray


class Found(NamedTuple):
    """What a model gets, lines for the log, and the calibrated scores (h, C) of the held-out images, fold by fold."""

    calibration: ScoreCalibration
    thresholds: ClassThresholds
    zero_shot: ZeroShotCalibration | None
    lines: tuple[str, ...]
    held_out: np.ndarray | None = None


def find(
    rule: str,
    references: np.ndarray,
    labels: np.ndarray,
    folds: Sequence[tuple[FoldScores, np.ndarray]],
    class_names: Sequence[str],
    min_positives: int = 10,
    similarity: np.ndarray | None = None,
) -> Found:
    """Calibration and thresholds of a model.

    Args:
        rule: 'f1', 'rate', 'one', or 'none' for .5 on raw scores; without folds 'rate' in place of 'f1' and 'one'.
            Where nothing can be found (no negative label, scores that are not finite) it is 'none', with a line that
            says why.
        references: raw scores (m, C) by the finished model of images whose labels it did not see; none (0, C) where
            every image is labelled, and fewer than `FEWEST_REFERENCES` count as none.
        labels: (n, C) of the labelled images in 1, 0, -1.
        folds: scores by models that did not see the labels (h, C) that stand beside them.
        class_names: the C names.
        min_positives: positives below which a class is named.
        similarity: cosines (n, C) of the labelled images with untrained prompts, for names that were never trained.
    """
    num_classes = len(class_names)
    none = Found(ScoreCalibration.none(num_classes), ClassThresholds.default(num_classes), None, ())
    if rule == 'none':
        return none
    reason = _nothing_to_fit(references, labels, folds)
    if reason:
        return none._replace(lines=(f'Thresholds: .5 for every class on raw scores, as {reason}',))
    positives = (labels == 1).sum(0)
    zero_shot = None if similarity is None else fit_shared_map(similarity, labels)
    if len(references) < FEWEST_REFERENCES:
        references = references[:0]
    calibration, scores = ScoreCalibration.none(num_classes), references
    calibrated = _calibrated(folds, references)
    if calibrated is None:
        rule = 'rate'
    else:
        calibration = calibrated.calibration
        # As they leave, in float32: a threshold must not lie beyond its own score by rounding.
        scores = calibration(torch.from_numpy(references)).numpy() if len(references) else calibrated.scores
    if rule == 'one' and calibrated is not None:
        values = np.full(num_classes, one_threshold(calibrated.scores, calibrated.labels))
    elif rule == 'f1':
        values = expected_f1_thresholds(scores)
    else:
        values = rate_thresholds(scores, smoothed_rates(labels))
    sources = tuple('own' if count >= min_positives or rule == 'rate' else 'pooled' for count in positives)
    thresholds = ClassThresholds(tuple(values.tolist()), rule, tuple(positives.tolist()), sources)
    lines = _lines(thresholds, len(labels), class_names, min_positives)
    if calibrated is not None:
        lines.append(_expectation(calibrated, values))
    return Found(
        calibration,
        thresholds,
        None if zero_shot is None else ZeroShotCalibration(*zero_shot),
        tuple(lines),
        None if calibrated is None else calibrated.everything,
    )


class _Calibrated(NamedTuple):
    """Raw scores, calibrated ones and labels (k, C) of the held-out images with known labels, and the map between them.

    everything: calibrated scores (h, C) of all held-out images.
    """

    raw: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    calibration: ScoreCalibration
    everything: np.ndarray


def _calibrated(folds: Sequence[tuple[FoldScores, np.ndarray]], references: np.ndarray) -> _Calibrated | None:
    """Calibration fitted to the folds on one scale; None without folds, or if all their labels are equal.

    Two trainings agree on the order of images better than on the level of scores. So the logits of each are
    standardised, per class, by those that it gives to the reference images. Images without a known label, such as bad
    ones, are left out.
    """
    if not folds:
        return None
    labels = np.concatenate([truth for _, truth in folds])
    known = (labels >= 0).any(1)
    raw = np.concatenate([fold.scores for fold, _ in folds])
    if len(references):
        spread = Spread.of(references)
        values = np.concatenate([Spread.of(fold.references).standardised(fold.scores) for fold, _ in folds])
    else:
        spread = Spread.of(raw[known])
        values = spread.standardised(raw)
    maps = fit_maps(values[known], labels[known])
    if maps is None:
        return None
    slope, offset = (tuple(numbers.tolist()) for numbers in maps.of_raw(spread))
    scores = maps(values)
    return _Calibrated(raw[known], scores[known], labels[known], ScoreCalibration(slope, offset, 'platt'), scores)


def _nothing_to_fit(
    references: np.ndarray, labels: np.ndarray, folds: Sequence[tuple[FoldScores, np.ndarray]]
) -> str | None:
    """Why neither calibration nor thresholds can be found; None if they can."""
    if not (labels == 0).any():
        return f'no label of the {len(labels)} labelled images is negative; say what they do not show'
    if not all(np.isfinite(s).all() for s in (references, *(s for fold, _ in folds for s in fold[1:]))):
        return 'scores are not finite: the training has diverged; lower the learning rate'
    if len(references) < FEWEST_REFERENCES and not (folds and (labels == 1).any()):
        return f'{len(references)} unlabelled images are too few to tell rates from, and no label was held out'
    return None


def _lines(thresholds: ClassThresholds, images: int, class_names: Sequence[str], min_positives: int) -> list[str]:
    lines = [f"Thresholds: rule '{thresholds.rule}', from {images} labelled images"]
    few = [
        f'{name} ({count})'
        for name, count in zip(class_names, thresholds.positives, strict=True)
        if count < min_positives
    ]
    if few:
        shown = ', '.join(few[:8]) + (f' and {len(few) - 8} more' if len(few) > 8 else '')
        leaning = '' if thresholds.rule == 'rate' else ', and lean on those of the other classes'
        lines.append(
            f'Thresholds of {len(few)} of {len(class_names)} classes rest on fewer than {min_positives} labelled '
            f'positives{leaning}: {shown}'
        )
    return lines


def _expectation(calibrated: _Calibrated, thresholds: np.ndarray) -> str:
    """What the held-out images say of new ones."""
    cf1, of1 = (100 * value for value in cf1_of1(calibrated.scores, calibrated.labels, thresholds.tolist()))
    errors, briers = (
        [100 * measure(scores, calibrated.labels) for scores in (calibrated.raw, calibrated.scores)]
        for measure in (calibration_error, brier_score)
    )
    return (
        f'On labels that the scores did not see: CF1 {cf1:.1f}, OF1 {of1:.1f} at these thresholds; expected '
        f'calibration error {errors[0]:.1f} % before and {errors[1]:.1f} % after calibration, Brier score '
        f'{briers[0]:.1f} and {briers[1]:.1f}'
    )
