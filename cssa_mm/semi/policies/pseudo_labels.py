"""The result of every policy, and the checks that all policies share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from mmengine.dist import all_reduce, get_dist_info
from torch import Tensor

from cssa_mm.datasets.wrong_labels import swapped_column
from cssa_mm.errors import CSSAError
from cssa_mm.features.encode import share_of_rank
from cssa_mm.semi.shares import column_of_all, summed, total_of


@dataclass(frozen=True)
class PseudoLabels:
    """What a policy decides about m unlabelled images, this process's share of all M, and C classes.

    Attributes:
        labels: int8 (m, C), 1 positive, 0 negative, -1 masked.
        weights: float32 (m, C), the factor of each cell in the loss, or None for 1 everywhere.
        positive_thresholds: float32 (C,), +inf where a class gets no positives, nan where the policy has
            none.
        negative_thresholds: float32 (C,), -inf where a class gets no negatives, nan where the policy has
            none.
    """

    labels: Tensor
    weights: Tensor | None
    positive_thresholds: Tensor
    negative_thresholds: Tensor

    def with_errors(self, share: float, seed: Sequence[int]) -> PseudoLabels:
        """Swap a share of the labels together with their weights: a forced error looks like any other label.

        The swaps are those of one process, whatever the number of ranks, which must all call it: each draws them for
        one class of all M images at a time.
        """
        total, generator = total_of(self.labels), np.random.default_rng(seed)
        mine = share_of_rank(total)
        labels, weights = self.labels.clone(), None if self.weights is None else self.weights.clone()
        for c in range(labels.shape[1]):
            column = column_of_all(self.labels[:, c], total)
            source = torch.from_numpy(swapped_column(column.numpy(), share, generator)[mine])
            labels[:, c] = column[source]
            if weights is not None:
                weights[:, c] = column_of_all(weights[:, c], total)[source]
        return replace(self, labels=labels, weights=weights)


def checked_scores(scores: Tensor) -> Tensor:
    """The scores (M, C) as float32, without gradient.

    Raises:
        CSSAError: they have another shape or hold NaN.
    """
    if scores.ndim != 2:
        raise CSSAError(f'Scores of shape {tuple(scores.shape)}; expected (images, classes).')
    if scores.isnan().any():
        first = int(scores.isnan().flatten().nonzero()[0])
        raise _diverged(int(scores.isnan().sum()), scores.numel(), *divmod(first, scores.shape[1]))
    return scores.detach().float()


def refuse_nan(scores: Tensor, rows: Tensor) -> None:
    """Refuse scores (m, C) that hold NaN in the rows, bool (m,), of any rank; all ranks must call it.

    Where one rank alone refused its share, the others would wait for it for ever.

    Raises:
        CSSAError: There is a NaN, on whichever rank.
    """
    rank, world_size = get_dist_info()
    found = (scores.isnan() & rows[:, None]).nonzero()
    count, total = summed(torch.tensor([len(found), int(rows.sum()) * scores.shape[1]])).tolist()
    if not count:
        return
    first = torch.full((1,), torch.iinfo(torch.int64).max)
    if len(found):
        row, label = found[0].tolist()
        first[0] = (row * world_size + rank) * scores.shape[1] + label
    all_reduce(first, 'min')
    raise _diverged(count, total, *divmod(int(first), scores.shape[1]))


def _diverged(count: int, total: int, row: int, label: int) -> CSSAError:
    return CSSAError(
        f'{count} of {total} scores are NaN, the first in row {row}, class {label}; the teacher has diverged: lower '
        'the learning rate.'
    )


def checked_rates(name: str, rates: Tensor, scores: Tensor) -> Tensor:
    """The rates (C,) as float64.

    Raises:
        CSSAError: They do not fit the scores (M, C), or lie outside [0, 1].
    """
    rates = torch.as_tensor(rates, dtype=torch.float64, device=scores.device)
    if rates.shape != scores.shape[1:]:
        raise CSSAError(f'{name} of shape {tuple(rates.shape)}; expected one for each of {scores.shape[1]} classes.')
    if not ((rates >= 0) & (rates <= 1)).all():
        raise CSSAError(f'{name} must lie in [0, 1]; found values from {rates.min():g} to {rates.max():g}.')
    return rates


def checked_labelled(scores: Tensor, labelled_scores: Tensor, labelled_labels: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Scores, as float64, and labels of the labelled images with a known label, both (n, C).

    Raises:
        CSSAError: They do not fit each other or the scores (M, C), hold NaN, or no label is known.
    """
    found = checked_scores(labelled_scores).cpu().numpy().astype(np.float64)
    labels = torch.as_tensor(labelled_labels).cpu().numpy()
    if found.shape != labels.shape or found.shape[1:] != scores.shape[1:]:
        raise CSSAError(
            f'Labelled scores of shape {found.shape} and labels of shape {labels.shape}; expected both (labelled '
            f'images, {scores.shape[1]} classes).'
        )
    known = (labels >= 0).any(axis=1)
    if not known.any():
        raise CSSAError('Labelled images: found none with a known label; expected some to learn thresholds from.')
    return found[known], labels[known]


def as_labels(positive: Tensor, negative: Tensor) -> Tensor:
    """Labels int8 (M, C) from two rules, bool (M, C); a cell that meets both rules, or neither, is masked."""
    labels = torch.full_like(positive, -1, dtype=torch.int8)
    labels[positive & ~negative] = 1
    labels[negative & ~positive] = 0
    return labels
