"""What a run reached for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cssa_mm.apis.reporting.run import Run
from cssa_mm.apis.reporting.scoring import ScoredImages
from cssa_mm.evaluation.calibration import calibration_error
from cssa_mm.evaluation.metrics import average_precision_per_class
from cssa_mm.visualization.pages.report_data import ClassRow


def class_rows(run: Run, tested: ScoredImages) -> list[ClassRow]:
    """What the run reached for each class."""
    model, labels, predicted = run.model, tested.labels, tested.predicted
    if model is None:
        return []
    ap, zero_shot = (average_precision_per_class(scores, labels) for scores in (tested.scores, tested.zero_shot))
    right = (predicted & (labels == 1)).sum(0)
    given, positives = (predicted & (labels != -1)).sum(0), (labels == 1).sum(0)
    labelled = None if run.train is None else (run.train.labels == 1).sum(0)
    pseudo = {name: _by_class(run.records[-1] if run.records else {}, name) for name in ('precision', 'recall')}
    return [
        ClassRow(
            name=name,
            labelled=None if labelled is None else int(labelled[c]),
            positives=int(positives[c]),
            ap=float(ap[c]),
            zero_shot_ap=float(zero_shot[c]),
            precision=_share(right[c], given[c]),
            recall=_share(right[c], positives[c]),
            threshold=model.thresholds.values[c],
            source=model.thresholds.sources[c] if model.thresholds.sources else '',
            calibration_error=calibration_error(tested.scores[:, c], labels[:, c]),
            pseudo_precision=pseudo['precision'].get(name, math.nan),
            pseudo_recall=pseudo['recall'].get(name, math.nan),
        )
        for c, name in enumerate(model.class_names)
    ]


def _by_class(record: Mapping, name: str) -> dict[str, float]:
    return dict(zip(record.get('class_names', ()), record.get(name, ()), strict=False))


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else math.nan
