"""The metric of validation and test: mAP, CF1, OF1 and calibration of the EMA model, and of the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmpretrain.registry import METRICS

from cssa_mm.errors import DataError
from cssa_mm.evaluation.calibration import brier_score, calibration_error
from cssa_mm.evaluation.metrics import average_precision_per_class, cf1_of1, mean_of_finite
from cssa_mm.evaluation.text_table import aligned

CALIBRATED, RAW, LABEL = 'pred_score', 'raw_score', 'pred_label'


@METRICS.register_module()
class CSSAMetric(BaseMetric):
    """mAP, CF1, OF1 and calibration of the EMA model, and of the student, in per cent.

    For each row of ``score_fields`` the results hold ``<row>/mAP``, ``<row>/CF1`` and ``<row>/OF1``; a row
    whose field no sample has is left out. A class without any positive, or without any negative, in the test set has no
    average precision: it is left out of mAP and named; if no class has both, mAP is left out.

    Where samples hold ``raw_score``, the results say how well ``pred_score`` is calibrated: ``<row>/ECE``, the
    expected calibration error, and ``<row>/Brier``; the same of the raw scores as ``<row>/raw_ECE`` and
    ``<row>/raw_Brier``, unless they are the same scores. The average precision of each class goes to the log as a
    table. Each image counts once, however often a distributed sampler repeats it.

    A sample holds ``image_id``, ``gt_score`` (C,) in {1, 0, -1} and the score fields (C,).

    Args:
        collect_device: ``'cpu'`` or ``'gpu'``, where results of several processes are gathered.
        prefix: put before the names of the results.
        threshold: scores at or above it predict a class, in CF1 and OF1; one number or one for each class. None takes
            the labels that the model gave (``pred_label``) for ``pred_score``, and .5 for other fields.
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
        collect_device: Literal['cpu', 'gpu'] = 'cpu',
        prefix: str | None = None,
        threshold: float | Sequence[float] | None = None,
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
            fields = dict.fromkeys([*self.score_fields.values(), RAW, LABEL])
            kept = {field: _array(sample[field]) for field in fields if field in sample}
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
        metrics: dict[str, float] = {}
        per_class: dict[str, np.ndarray] = {}
        for row, field in self.score_fields.items():
            scores = self._column(results, field)
            if scores is None:
                continue
            per_class[row] = 100 * average_precision_per_class(scores, labels)
            predicted, threshold = scores, 0.5 if self.threshold is None else self.threshold
            if field == CALIBRATED and self.threshold is None and LABEL in results[0]:
                predicted = np.stack([np.isin(np.arange(len(names)), sample[LABEL]) for sample in results])
            cf1, of1 = cf1_of1(predicted, labels, threshold)
            if np.isfinite(per_class[row]).any():
                metrics[f'{row}/mAP'] = mean_of_finite(per_class[row])
            metrics |= {f'{row}/CF1': 100 * cf1, f'{row}/OF1': 100 * of1}
            raw = self._column(results, RAW) if field == CALIBRATED else None
            if raw is not None:
                metrics |= _calibration(row, scores, labels)
                metrics |= {} if np.array_equal(raw, scores) else _calibration(f'{row}/raw_', raw, labels)
            if self.save_per_class:
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
        logger = MMLogger.get_current_instance()
        for line in without_average_precision(labels, names):
            logger.warning(line)
        logger.info('Average precision per class\n' + _table(names, (labels == 1).sum(0), per_class))
        return metrics

    def _column(self, results: list[dict], field: str) -> np.ndarray | None:
        """A field of all samples (M, C); None if no sample has it."""
        holders = sum(field in sample for sample in results)
        if 0 < holders < len(results):
            raise DataError(
                f"CSSAMetric: found '{field}' in {holders} of {len(results)} samples, expected it in "
                "all or none; the model's predict() must set it always."
            )
        return np.stack([sample[field] for sample in results]) if holders else None

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


def without_average_precision(labels: np.ndarray, names: Sequence[str]) -> list[str]:
    """Lines that name the classes without positives, and those without negatives, in labels (M, C)."""
    has = {'positive': (labels == 1).any(0), 'negative': (labels == 0).any(0)}
    if not has['negative'].any():
        return [
            f'No class has a negative among the {len(labels)} images: an mAP over them means nothing and is left out, '
            'and CF1 and OF1 only say how many positives are found; label what the images do not show.'
        ]
    lines = []
    for kind, is_there in has.items():
        missing = [name for name, there in zip(names, is_there, strict=True) if not there]
        if missing:
            shown = ', '.join(missing[:5]) + (', ...' if len(missing) > 5 else '')
            lines.append(
                f'{len(missing)} of {len(names)} classes have no {kind} among the {len(labels)} images and count for '
                f'nothing in mAP: {shown}'
            )
    return lines


def _calibration(prefix: str, scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    prefix = prefix if prefix.endswith('_') else f'{prefix}/'
    return {
        f'{prefix}ECE': 100 * calibration_error(scores, labels),
        f'{prefix}Brier': 100 * brier_score(scores, labels),
    }


def _table(names: Sequence[str], positives: np.ndarray, per_class: Mapping[str, np.ndarray]) -> str:
    rows = [['class', 'positives', *per_class]]
    for c, name in enumerate(names):
        values = [f'{v[c]:.2f}' if np.isfinite(v[c]) else '-' for v in per_class.values()]
        rows.append([name, str(positives[c]), *values])
    return aligned(rows)


def _array(value: torch.Tensor | np.ndarray) -> np.ndarray:
    # numpy has no bfloat16.
    return value.detach().float().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
