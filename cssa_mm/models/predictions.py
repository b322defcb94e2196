"""From logits to the fields of a prediction, whether they are of one view or an average over several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from cssa_mm.models.score_calibration import ScoreCalibration
from cssa_mm.models.thresholds import ClassThresholds


def set_predictions(
    samples: Sequence[DataSample],
    logits: Tensor,
    student_logits: Tensor,
    calibration: ScoreCalibration,
    thresholds: ClassThresholds,
) -> None:
    """Set the fields of B samples from the logits (B, C) of the EMA teacher and of the student.

    `pred_score`: calibrated, by the EMA teacher; `raw_score`: the same before calibration; `pred_label`: indices of the
    classes that reach their threshold; `student_score`: by the student, not calibrated.
    """
    raw, student = torch.sigmoid(logits), torch.sigmoid(student_logits)
    calibrated = calibration(raw, logits)
    reached = thresholds.reached(calibrated.float().cpu().numpy())
    for row, sample in enumerate(samples):
        sample.set_pred_score(calibrated[row])
        sample.set_pred_label(torch.from_numpy(reached[row].nonzero()[0]).to(raw.device))
        sample.set_field(raw[row], 'raw_score')
        sample.set_field(student[row], 'student_score')
