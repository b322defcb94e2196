"""What the start of a semi-supervised epoch has found, in figures of all images that no rank holds all of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cssa_mm.evaluation.calibration import calibration_counts, calibration_of_counts
from cssa_mm.evaluation.pseudo_label_quality import quality_counts, quality_of_counts
from cssa_mm.semi.policies import PseudoLabels
from cssa_mm.semi.shares import summed


@dataclass(frozen=True)
class EpochReport:
    """Pseudo-labels, the teacher's scores (m, C), and the truth (m, C), of this rank's share of the M images."""

    pseudo_labels: PseudoLabels
    scores: np.ndarray
    truth: np.ndarray

    def figures(self) -> dict[str, Any]:
        """Thresholds, quality and calibration over all M images; all ranks must call it.

        They come from whole numbers that the ranks sum, so they are the same bitwise for any number of ranks.
        """
        labels = self.pseudo_labels
        quality = _summed(quality_counts(labels.labels.numpy(), self.truth))
        calibrated = _summed(calibration_counts(self.scores, self.truth))
        thresholds = dict(
            positive_thresholds=labels.positive_thresholds.numpy(),
            negative_thresholds=labels.negative_thresholds.numpy(),
        )
        return thresholds | quality_of_counts(quality) | calibration_of_counts(calibrated)


def _summed(counts: np.ndarray) -> np.ndarray:
    return summed(torch.from_numpy(counts)).numpy()
