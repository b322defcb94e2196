"""Multi-label metrics: mean average precision (mAP), class-averaged F1 (CF1) and overall F1 (OF1).

mmpretrain's own differ: its macro F1 averages the F1 of the classes, which is not CF1, and its average
precision counts a class that is absent from the test set as 0 and depends on the order of the images under
ties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpretrain.registry import METRICS
from sklearn.metrics import average_precision_score

from cssa_mm.errors import DataError
from cssa_mm.evaluation.text_table import aligned


def average_precision_per_class(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """scikit-learn's average precision of each class.

    Args:
        scores: (M, C).
        labels: (M, C) in {1, 0, -1}; unknown cells (-1) are left out.

    Returns:
        float64 (C,) from 0 to 1, nan for a class without positives.

    Raises:
        DataError: shapes differ, a score is not finite, or a label is not 1, 0 or -1.
    """
    scores, labels = _checked(scores, labels)
    precision = np.full(labels.shape[1], np.nan)
    for c in range(labels.shape[1]):
        known = labels[:, c] != -1
        truth = labels[known, c] == 1
        if truth.any():
            precision[c] = average_precision_score(truth, scores[known, c])
    return precision


def mean_average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean average precision, from 0 to 1, over the classes with positives (nan if there are none).

    Args:
        scores: (M, C).
        labels: (M, C) in {1, 0, -1}; unknown cells (-1) are left out.
    """
    return _mean(average_precision_per_class(scores, labels))


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
    predicted = predicted.sum(0)
    true = (labels == 1).sum(0)
    occurs = true > 0
    class_precision = _mean(right[occurs] / np.maximum(predicted[occurs], 1))
    class_recall = _mean(right[occurs] / true[occurs])
    overall_precision = right.sum() / max(predicted.sum(), 1)
    overall_recall = right.sum() / true.sum() if occurs.any() else float('nan')
    return _harmonic_mean(class_precision, class_recall), _harmonic_mean(overall_precision, overall_recall)


@METRICS.register_module()
class CSSAMetric(BaseMetric):
    """mAP, CF1 and OF1 of the EMA model and the student, in per cent.

    For each row of ``score_fields`` the results hold ``<row>/mAP``, ``<row>/CF1`` and ``<row>/OF1``; a row
    whose field no sample has is left out. Without any negative in the test set an mAP means nothing and is left out.
    The average precision of each class goes to the log as a table.
    Each image counts once, however often a distributed sampler repeats it.

    A sample holds ``image_id``, ``gt_score`` (C,) in {1, 0, -1} and the score fields (C,).

    Args:
        collect_device: ``'cpu'`` or ``'gpu'``, where results of several processes are gathered.
        prefix: put before the names of the results.
        threshold: scores at or above it predict a class, in CF1 and OF1; one number or one for each class.
        score_fields: name of the row -> field of the sample. The default is ``pred_score`` for ``ema`` and
            ``student_score`` for ``student``.
        save_per_class: put ``<row>/AP/<class name>`` into the results too, for the classes that occur.

    Raises:
        DataError: when a sample lacks a field, a score is not finite, class names and scores differ in number, or no
            class has a positive.
    """

    default_prefix = ''  # None would make mmengine warn

    def __init__(
        self,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        threshold: float | Sequence[float] = 0.5,
        score_fields: Mapping[str, str] | None = None,
        save_per_class: bool = False,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.threshold = threshold
        self.score_fields = dict(score_fields or {'ema': 'pred_score', 'student': 'student_score'})
        self.save_per_class = save_per_class

    def process(self, data_batch: object, data_samples: Sequence[dict]) -> None:
        """Keep the scores and labels of a batch of samples."""
        for sample in data_samples:
            for field in ('image_id', 'gt_score'):
                if field not in sample:
                    raise DataError(
                        f"CSSAMetric: found a sample without '{field}', but every sample needs it; "
                        'pack it in the test pipeline.'
                    )
            kept = {field: _array(sample[field]) for field in self.score_fields.values() if field in sample}
            self.results.append({'image_id': str(sample['image_id']), 'gt_score': _array(sample['gt_score']), **kept})

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """The results of all images, in per cent."""
        if not results:
            raise DataError('CSSAMetric: found no samples; the test set is empty.')
        first: dict[Any, dict] = {}
        for sample in results:
            first.setdefault(sample['image_id'], sample)
        results = list(first.values())
        labels = np.stack([sample['gt_score'] for sample in results])
        names = self._class_names(labels.shape[1])
        if not (labels == 1).any():
            raise DataError(
                f'CSSAMetric: found no class with a positive among the {len(labels)} test images, so that no figure '
                'can be computed; expected test images that show the classes.'
            )
        has_negatives = bool((labels == 0).any())
        metrics: dict[str, float] = {}
        per_class: dict[str, np.ndarray] = {}
        for row, field in self.score_fields.items():
            holders = sum(field in sample for sample in results)
            if holders == 0:
                continue
            if holders < len(results):
                raise DataError(
                    f"CSSAMetric: found '{field}' in {holders} of {len(results)} samples, expected it in "
                    "all or none; the model's predict() must set it always."
                )
            scores = np.stack([sample[field] for sample in results])
            per_class[row] = 100 * average_precision_per_class(scores, labels)
            cf1, of1 = cf1_of1(scores, labels, self.threshold)
            if has_negatives:
                metrics[f'{row}/mAP'] = _mean(per_class[row])
            metrics |= {f'{row}/CF1': 100 * cf1, f'{row}/OF1': 100 * of1}
            if self.save_per_class and has_negatives:
                metrics |= {
                    f'{row}/AP/{name}': float(value)
                    for name, value in zip(names, per_class[row], strict=True)
                    if np.isfinite(value)
                }
        if not per_class:
            raise DataError(
                f'CSSAMetric: found none of the fields {", ".join(self.score_fields.values())} in the '
                "samples; score_fields must name what the model's predict() sets."
            )
        if not has_negatives:
            MMLogger.get_current_instance().warning(
                f'No class has a negative among the {len(labels)} test images: an mAP over them means nothing and is '
                'left out, and CF1 and OF1 only say how many positives are found; label what the images do not show.'
            )
        MMLogger.get_current_instance().info(
            'Average precision per class\n' + _table(names, (labels == 1).sum(0), per_class)
        )
        return metrics

    def _class_names(self, num_classes: int) -> list[str]:
        names = (self.dataset_meta or {}).get('classes')
        if names is None:
            return [f'class {c}' for c in range(num_classes)]
        if len(names) != num_classes:
            raise DataError(
                f'CSSAMetric: {len(names)} class names in the data set, but {num_classes} labels an image; '
                'the class list and the annotations must agree.'
            )
        return list(names)


def _table(names: Sequence[str], positives: np.ndarray, per_class: Mapping[str, np.ndarray]) -> str:
    rows = [['class', 'positives', *per_class]]
    for c, name in enumerate(names):
        values = [f'{v[c]:.2f}' if np.isfinite(v[c]) else '-' for v in per_class.values()]
        rows.append([name, str(positives[c]), *values])
    return aligned(rows)


def _array(value: torch.Tensor | np.ndarray) -> np.ndarray:
    # numpy has no bfloat16.
    return value.detach().float().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


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


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float('nan')


def _harmonic_mean(precision: float, recall: float) -> float:
    return float(2 * precision * recall / (precision + recall)) if precision + recall != 0 else 0.0
