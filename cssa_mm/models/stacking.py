"""How much each reading of an image counts (ours): weights that labels must earn.

    logit_c = weights . readings_c + bias_c

The first reading is CLIP's own answer, whose weight is nearly free. All others have a narrow prior at 0, so that a few
labels do not run away with them, and they stay at 0 where they do not lower the loss of held-out images. The readings
of labelled images must not have seen the labels: a reading that has is trusted too much.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cssa_mm.evaluation.logistic import fit_logistic

# Prior standard deviations: of the weight of the first reading, of the others, and of the bias of a class; and of how
# the logit of its rate enters.
ANCHOR, OTHERS, BIAS, RATE = 3.0, 0.3, 1.0, 10.0
LOWEST_ANCHOR = 0.1  # a class without labelled positives may have nothing else
FEWEST_POSITIVES = 2  # with one, no other image of the class is left when its own is held out
FOLDS = 5
MOST_CELLS = 50_000  # more change nothing but the time


def stack(readings: Tensor, labels: Tensor, is_checked: bool = False) -> Tensor:
    """Weights (J,), none negative, of J readings.

    Args:
        readings: (n, C, J) of n labelled images, each with a deviation of about 1; the first is CLIP's own answer. No
            reading of an image depends on its labels.
        labels: (n, C) in 1, 0, -1 (unknown).
        is_checked: whether readings that do not lower the loss of held-out images are left out; ten times as slow.

    Returns:
        (1, 0, ..., 0) if the labels are all alike.
    """
    values, truth = readings.double().cpu().numpy(), labels.cpu().numpy()
    num_readings = values.shape[2]
    cells = _Cells.of(values, truth)
    own = torch.tensor([1.0] + [0.0] * (num_readings - 1), dtype=readings.dtype, device=readings.device)
    if cells is None:
        return own
    chosen, weights = _positive(cells, list(range(num_readings)))
    if is_checked and len(chosen) > 1 and not cells.held_out_loss(chosen) < cells.held_out_loss([0]):
        chosen, weights = _positive(cells, [0])
    own[chosen] = torch.as_tensor(weights).to(own)
    own[0] = own[0].clamp(min=LOWEST_ANCHOR)
    return own


def _positive(cells: _Cells, chosen: list[int]) -> tuple[list[int], np.ndarray]:
    """The first reading and those of the others that have a positive weight beside it, and these weights."""
    while True:
        weights, _ = cells.fit(chosen)
        kept = [reading for reading, weight in zip(chosen, weights, strict=True) if weight > 0 or reading == 0]
        if kept == chosen:
            return chosen, weights
        chosen = kept


class _Cells:
    """The known cells (image, class) of the classes that say something of weights."""

    def __init__(self, values: np.ndarray, positive: np.ndarray, images: np.ndarray, nuisance: Any) -> None:
        self.values = values
        self.positive = positive
        self.images = images
        self.nuisance = nuisance

    @classmethod
    def of(cls, values: np.ndarray, labels: np.ndarray) -> _Cells | None:
        from scipy import sparse  # takes long, and most commands do without

        counts, known = (labels == 1).sum(0), (labels >= 0).sum(0)
        telling = counts >= FEWEST_POSITIVES if (counts >= FEWEST_POSITIVES).any() else counts > 0
        most = max(1, MOST_CELLS // labels.shape[1])
        kept = np.arange(min(len(labels), most)) * len(labels) // min(len(labels), most)
        values, labels = values[kept], labels[kept]
        images, classes = np.nonzero((labels >= 0) & telling)
        positive = labels[images, classes] == 1
        if not 0 < positive.sum() < len(positive):
            return None
        rates = (counts + 0.5) / (known + 1)
        rate = np.log(rates / (1 - rates))[classes, None]
        of_class = sparse.csr_matrix(
            (np.full(len(classes), BIAS), (np.arange(len(classes)), classes)), shape=(len(classes), labels.shape[1])
        )
        nuisance = sparse.hstack([sparse.csr_matrix(RATE * rate), of_class]).tocsr()
        return cls(values[images, classes], positive, images, nuisance)

    def fit(self, chosen: list[int], rows: np.ndarray | None = None) -> tuple[np.ndarray, Any]:
        """Weights of the chosen readings, by the cells in `rows`."""
        rows = np.arange(len(self.positive)) if rows is None else rows
        model = fit_logistic(self._inputs(chosen)[rows], self.positive[rows], 1.0)
        return model.coef_[0][: len(chosen)] * self._deviations(chosen), model

    def held_out_loss(self, chosen: list[int]) -> float:
        """Loss of a cell by fits that left out the images of its fold."""
        from scipy.special import expit
        from sklearn.metrics import log_loss

        scores, inputs = np.zeros(len(self.positive)), self._inputs(chosen)
        fold_of = np.unique(self.images, return_inverse=True)[1] % FOLDS
        for fold in np.unique(fold_of):
            others = np.nonzero(fold_of != fold)[0]
            here = fold_of == fold
            if len(np.unique(self.positive[others])) < 2:
                return np.inf
            scores[here] = self.fit(chosen, others)[1].decision_function(inputs[here])
        return float(log_loss(self.positive, expit(scores)))

    def _inputs(self, chosen: list[int]) -> Any:
        from scipy import sparse

        return sparse.hstack(
            [sparse.csr_matrix(self.values[:, chosen] * self._deviations(chosen)), self.nuisance]
        ).tocsr()

    @staticmethod
    def _deviations(chosen: list[int]) -> np.ndarray:
        return np.array([ANCHOR if reading == 0 else OTHERS for reading in chosen])
