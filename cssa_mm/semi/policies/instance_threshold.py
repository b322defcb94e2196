"""Instance-adaptive thresholds: each image has its own, predicted from its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cssa_mm.semi.policies.options import check_options
from cssa_mm.semi.policies.pseudo_labels import PseudoLabels, as_labels, checked_labelled, checked_scores
from cssa_mm.values import AboveZero

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge

CHUNK = 2**16  # images at a time


def instance_adaptive(
    scores: Tensor,
    positive_rates: Tensor | None,
    labelled_scores: Tensor,
    labelled_labels: Tensor,
    *,
    penalty: AboveZero = 1.0,
) -> PseudoLabels:
    """A threshold for each image, by a function that is learned on the labelled ones (reconstruction).

    Our reconstruction of instance-adaptive thresholds, with the linear threshold function of Elisseeff and Weston
    (2001): for each labelled image, find the threshold with the fewest wrong cells, halfway between the two scores that
    it separates (0 and 1 at the ends; of equally good ones the highest); then fit a ridge regression from the C scores
    to it.

    Cells at or above the threshold of their image are positive, all others negative. There are no thresholds per
    class: they are nan. The teacher has learned the labelled images, so their positives stand apart more clearly than
    those of the images that the function is applied to.

    Args:
        scores: (m, C) in [0, 1], this process's share, compared as float32.
        positive_rates: ignored; there for the common call.
        labelled_scores: (n, C), the same teacher's on the n labelled images.
        labelled_labels: (n, C) in {1, 0, -1}; unknown cells (-1) are left out of the count of wrong cells.
        penalty: of the ridge regression; with a large one all images get the same threshold.

    Raises:
        ConfigError: penalty is out of its range.
        CSSAError: scores hold NaN, shapes do not fit, or no label is known.
    """
    from sklearn.linear_model import Ridge  # takes long, and most commands do without

    check_options(instance_adaptive, penalty=penalty)
    scores = checked_scores(scores)
    known_scores, known_labels = checked_labelled(scores, labelled_scores, labelled_labels)
    targets = [
        _threshold_with_fewest_errors(row[labels >= 0], labels[labels >= 0] == 1)
        for row, labels in zip(known_scores, known_labels, strict=True)
    ]
    function = Ridge(alpha=penalty, solver='cholesky').fit(known_scores, targets)
    parts = [_predicted(function, part.cpu().numpy()) for part in scores.split(CHUNK)]
    positive = scores >= torch.from_numpy(np.concatenate(parts)).to(scores.device)[:, None]
    no_thresholds = scores.new_full((scores.shape[1],), float('nan'))
    return PseudoLabels(as_labels(positive, ~positive), None, no_thresholds, no_thresholds.clone())


def _predicted(function: Ridge, scores: np.ndarray) -> np.ndarray:
    """The function's thresholds, float32 (m,), of m images (m, C).

    A sum for each image: a matrix product rounds by its number of rows, and so by the number of processes.
    """
    return ((scores * function.coef_).sum(1) + function.intercept_).astype(np.float32)


def _threshold_with_fewest_errors(scores: np.ndarray, positive: np.ndarray) -> float:
    """The threshold of one image with k known cells: scores (k,) and truths (k,)."""
    order = np.argsort(-scores, kind='stable')
    descending = np.concatenate([[1.0], scores[order], [0.0]])
    # After accepting the j best cells: the negatives among them, and the positives that are left.
    accepted = np.append(0, np.cumsum(~positive[order]))
    missed = positive.sum() - np.append(0, np.cumsum(positive[order]))
    is_cut = descending[1:] < descending[:-1]
    is_cut[[0, -1]] = True  # all or nothing can always be accepted, even with scores of 1 or 0
    wrong = np.where(is_cut, accepted + missed, np.inf)
    best = int(wrong.argmin())
    return (descending[best] + descending[best + 1]) / 2
