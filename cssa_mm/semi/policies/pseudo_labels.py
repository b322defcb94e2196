"""The result of every policy, and the checks that all policies share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cssa_mm.datasets.wrong_labels import swapped_rows
from cssa_mm.errors import CSSAError


@dataclass(frozen=True)
class PseudoLabels:
    """What a policy decides about M unlabelled images and C classes.

    Attributes:
        labels: int8 (M, C), 1 positive, 0 negative, -1 masked.
        weights: float32 (M, C), the factor of each cell in the loss, or None for 1 everywhere.
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
        """Swap a share of the labels together with their weights: a forced error looks like any other label."""
        source = torch.from_numpy(swapped_rows(self.labels.numpy(), share, np.random.default_rng(seed)))
        weights = None if self.weights is None else self.weights.gather(0, source)
        return replace(self, labels=self.labels.gather(0, source), weights=weights)


def checked_scores(scores: Tensor) -> Tensor:
    """The scores (M, C) as float32, without gradient.

    Raises:
        CSSAError: they have another shape or hold NaN.
    """
    if scores.ndim != 2:
        raise CSSAError(f'Scores of shape {tuple(scores.shape)}; expected (images, classes).')
    if scores.isnan().any():
        image, label = scores.isnan().nonzero()[0].tolist()
        raise CSSAError(
            f'{int(scores.isnan().sum())} of {scores.numel()} scores are NaN, the first in row {image}, '
            f'class {label}; the teacher has diverged: lower the learning rate.'
        )
    return scores.detach().float()


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
