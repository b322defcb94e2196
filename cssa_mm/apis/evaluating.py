"""Compare predictions with the truth: two tables, matched by the names of images and classes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cssa_mm.apis.predicting.read_back import WrittenPredictions, read_predictions
from cssa_mm.apis.predicting.writers.streams import refused_in_one_line
from cssa_mm.apis.truth_labels import Truth, read_truth
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.evaluation.calibration import brier_score, calibration_error, reliability
from cssa_mm.evaluation.metrics import average_precision_per_class, cf1_of1, mean_of_finite
from cssa_mm.evaluation.multilabel_metric import without_average_precision
from cssa_mm.evaluation.text_table import aligned, rounded
from cssa_mm.files import write_json
from cssa_mm.visualization.reliability_figure import draw_reliability
from cssa_mm.visualization.style import checked_picture

RAW_FILE = 'raw_scores.parquet'
COLUMNS = ('AP', 'precision', 'recall', 'F1')


@dataclass
class Evaluation:
    """How predictions compare with the truth; figures in per cent, nan where there is none.

    Attributes:
        predictions, truth: the files.
        images: the number of images that both know.
        choice: how labels were chosen, in words.
        metrics: mAP of scores; CF1 and OF1 of labels; ECE and Brier, how well scores are calibrated.
        classes: for each class its name, positives, negatives, AP, precision, recall, F1, threshold, is_zero_shot.
        lines: what to know: what did not match, and what means nothing.
    """

    predictions: str
    truth: str
    images: int
    choice: str
    metrics: dict[str, float]
    classes: list[dict[str, Any]]
    lines: list[str] = field(default_factory=list)

    def text(self) -> str:
        """A table of the classes, the figures, and what to know about them."""
        rows = [['class', 'positives', 'threshold', *COLUMNS]]
        for each in self.classes:
            name = f'{each["name"]} (zero-shot)' if each['is_zero_shot'] else each['name']
            threshold = rounded(each['threshold'], 3)
            rows.append([name, str(each['positives']), threshold, *(rounded(each[key], 1) for key in COLUMNS)])
        figures = '  '.join(f'{name} {rounded(value, 2)}' for name, value in self.metrics.items())
        head = (
            f'{self.predictions} against {self.truth}: {self.images} images, {len(self.classes)} classes, in per cent'
        )
        return '\n'.join([head, f'labels: {self.choice}', aligned(rows), figures, *self.lines])

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON: null in place of nan."""
        return dict(
            predictions=self.predictions,
            truth=self.truth,
            images=self.images,
            choice=self.choice,
            metrics={name: _or_null(value) for name, value in self.metrics.items()},
            classes=[{key: _or_null(value) for key, value in each.items()} for each in self.classes],
            lines=self.lines,
        )


def evaluate(
    *,
    predictions: str | os.PathLike,
    truth: str | os.PathLike,
    out: str | os.PathLike | None = None,
    picture: str | os.PathLike | None = None,
) -> Evaluation:
    """Compare predictions with true labels.

    Images are matched by name, as label files and images are everywhere; classes by name. What only one of the two
    knows counts for nothing and is named.

    Args:
        predictions: the folder that `cssa predict` wrote, its `scores.parquet`, `scores.csv` or `predictions.csv`, or
            labels in any form of docs/formats.md.
        truth: a label file of any such form, or a folder that holds one.
        out: a JSON file to write the result to.
        picture: a file for a reliability diagram of the scores, and of the raw scores where they are beside them.

    Returns:
        The figures: AP where there are scores, all else where there are labels or thresholds that give them.

    Raises:
        ConfigError: `out` or `picture` cannot be written, or there are no scores for a picture.
        DataError: one of them cannot be read, is of another model than it seems, or they share no image or class.

    Examples:
        >>> from cssa_mm.apis.evaluating import evaluate
        >>> evaluate(predictions='predictions', truth='photos/test.csv').text()  # doctest: +SKIP
    """
    if picture is not None:
        checked_picture(picture)
    predicted = read_predictions(predictions)
    true = read_truth(truth, predicted.images, predicted.class_names)
    is_known = (true.labels != UNKNOWN).any(axis=1)
    kept = [c for c, name in enumerate(predicted.class_names) if name not in true.unnamed_classes]
    if not kept:
        raise DataError(
            f'{true.source}: found none of the {len(predicted.class_names)} predicted classes, such as '
            f"'{predicted.class_names[0]}', expected labels of the same classes; give the truth of these images."
        )
    if not is_known.any():
        raise DataError(
            f'{true.source}: found labels of none of the {len(predicted.images)} predicted images, such as '
            f"'{predicted.images[0]}'{_such_as(', but of', true.unmatched)}, expected labels of the same images; give "
            'the truth of these, with their names.'
        )
    result = _compare(predicted, true.labels[is_known][:, kept], is_known, kept)
    result.truth = true.source
    result.lines = [*_unmatched(predicted, true, is_known), *result.lines]
    if picture is not None:
        with refused_in_one_line(Path(picture)):
            _draw(predicted, true.labels[:, kept], kept, Path(picture))
    if out is not None:
        with refused_in_one_line(Path(out)):
            write_json(out, result.to_dict())
    return result


def _draw(predicted: WrittenPredictions, truth: np.ndarray, kept: Sequence[int], picture: Path) -> None:
    """The reliability diagram of the scores against the truth (n, k) of the classes `kept`."""
    if predicted.scores is None:
        raise ConfigError(f'picture: found no scores in {predicted.path}, expected scores.parquet; give the folder')
    tables = {'calibrated': reliability(predicted.scores[:, kept], truth)}
    raw = predicted.path.with_name(RAW_FILE)
    if raw.is_file() and raw != predicted.path:
        before = read_predictions(raw).scores
        if before is not None:
            tables = {'raw': reliability(before[:, kept], truth)} | tables
    draw_reliability({f'{predicted.path.parent.name}: {len(truth):,} images, {len(kept)} classes': tables}, picture)


def _compare(predicted: WrittenPredictions, truth: np.ndarray, rows: np.ndarray, kept: Sequence[int]) -> Evaluation:
    """The figures of the predicted images `rows` and classes `kept` against their truth (m, k)."""
    names = [predicted.class_names[c] for c in kept]
    labels = None if predicted.labels is None else predicted.labels[rows][:, kept]
    if labels is not None:
        truth = np.where(labels == UNKNOWN, UNKNOWN, truth).astype(np.int8)
    ap = np.full(len(names), math.nan)
    metrics: dict[str, float] = {}
    lines = without_average_precision(truth, names)
    if not (truth == 1).any():
        lines = ['No class has a positive among the images: no figure but of calibration means anything.']
    if predicted.scores is not None:
        scores = predicted.scores[rows][:, kept]
        ap = 100 * average_precision_per_class(scores, truth)
        metrics['mAP'] = mean_of_finite(ap)
    if labels is not None:
        cf1, of1 = cf1_of1(labels == 1, truth)
        metrics |= dict(CF1=100 * cf1, OF1=100 * of1)
    if predicted.scores is not None:
        metrics |= dict(ECE=100 * calibration_error(scores, truth), Brier=100 * brier_score(scores, truth))
    classes = [
        dict(
            name=name,
            positives=int((truth[:, c] == 1).sum()),
            negatives=int((truth[:, c] == 0).sum()),
            AP=float(ap[c]),
            **_of_class(None if labels is None else labels[:, c], truth[:, c]),
            threshold=predicted.threshold.get(name, math.nan),
            is_zero_shot=name in predicted.zero_shot_names,
        )
        for c, name in enumerate(names)
    ]
    return Evaluation(str(predicted.path), '', len(truth), predicted.choice, metrics, classes, lines)


def _of_class(labels: np.ndarray | None, truth: np.ndarray) -> dict[str, float]:
    """Precision, recall and F1 of a class; nan where nothing is predicted, or nothing is to be found."""
    if labels is None:
        return dict(precision=math.nan, recall=math.nan, F1=math.nan)
    right = int(((labels == 1) & (truth == 1)).sum())
    predicted, positives = int(((labels == 1) & (truth != UNKNOWN)).sum()), int((truth == 1).sum())
    return dict(
        precision=100 * right / predicted if predicted else math.nan,
        recall=100 * right / positives if positives else math.nan,
        F1=200 * right / (predicted + positives) if positives else math.nan,
    )


def _unmatched(predicted: WrittenPredictions, true: Truth, is_known: np.ndarray) -> list[str]:
    lines = []
    without = [image for image, known in zip(predicted.images, is_known, strict=True) if not known]
    if without:
        lines.append(
            f'{len(without)} predicted images have no true labels and count for nothing{_such_as(":", without)}'
        )
    if true.unmatched:
        lines.append(f'{len(true.unmatched)} images of the truth are not predicted{_such_as(":", true.unmatched)}')
    if true.unnamed_classes:
        lines.append(
            f'{len(true.unnamed_classes)} predicted classes are not named by the truth and count for nothing'
            f'{_such_as(":", true.unnamed_classes)}; if its images show none of them, put the classes.txt of the '
            'predictions beside it'
        )
    if true.other_classes:
        lines.append(
            f'{len(true.other_classes)} classes of the truth are not predicted and count for nothing'
            f'{_such_as(":", true.other_classes)}'
        )
    return lines


def _such_as(before: str, names: Sequence[str]) -> str:
    return f'{before} {", ".join(names[:5])}{", ..." if len(names) > 5 else ""}' if names else ''


def _or_null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
