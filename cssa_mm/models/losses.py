"""The masked asymmetric loss: one loss for labelled cells, pseudo-labelled cells and contexts.

Asymmetric loss after Ridnik et al. (ICCV 2021), with what CSSA needs and mmpretrain's version lacks (read in
the code of CAP): a mask per cell, a focusing weight without gradient, and an explicit reduction. In CSSA the
losses of labelled and unlabelled images are balanced by the reduction: summing over cells is what CAP does;
the choice for CSSA is a reconstruction.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.values import NotNegative, OneOf, Range

REDUCTIONS = ('sum', 'mean', 'batch_mean')


def _check_options(gamma_negative: float, gamma_positive: float, clip: float, reduction: str) -> None:
    if not (gamma_negative >= 0 and gamma_positive >= 0):
        raise ConfigError(
            f'Loss: gamma_negative={gamma_negative}, gamma_positive={gamma_positive}; expected both >= 0.'
        )
    if not 0 <= clip < 1:
        raise ConfigError(f'Loss: clip={clip}; expected a number in [0, 1), 0 switches it off.')
    if reduction not in REDUCTIONS:
        raise ConfigError(
            f'Loss: unknown reduction {reduction!r}; expected one of {", ".join(REDUCTIONS)}.'
            + nearest(reduction, REDUCTIONS)
        )


def check_cells(logits: Tensor, targets: Tensor, **per_cell: Tensor | None) -> None:
    """Check that targets, and what else there is for each cell, fit the logits (B, C).

    Raises:
        DataError: a shape differs, or a target is not 1, 0 or -1.
    """
    if targets.shape != logits.shape:
        raise DataError(
            f'Loss: targets of shape {tuple(targets.shape)}; expected that of the logits, {tuple(logits.shape)}.'
        )
    for name, value in per_cell.items():
        if value is not None and value.shape != logits.shape:
            raise DataError(
                f'Loss: {name} of shape {tuple(value.shape)}; expected one value for each cell, {tuple(logits.shape)}.'
            )
    if not ((targets == 1) | (targets == 0) | (targets == -1)).all():
        raise DataError(
            'Loss: targets hold other values than 1 (positive), 0 (negative) and -1 (unknown); '
            'soft labels go into weight.'
        )


def masked_asymmetric_loss(
    logits: Tensor,
    targets: Tensor,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    gamma_negative: float = 4.0,
    gamma_positive: float = 0.0,
    clip: float = 0.05,
    reduction: str = 'sum',
) -> Tensor:
    """Asymmetric loss over the known cells (image, class).

    With p = sigmoid(logit) and q = min(1 - p + clip, 1), a positive cell costs ``-(1 - p)^gamma_positive log
    p`` and a negative one ``-(1 - q)^gamma_negative log q``; the focusing powers carry no gradient. With both
    gammas and clip 0 this is binary cross-entropy. Half-precision logits are computed in float32, under
    autocast too.

    Args:
        logits: (B, C).
        targets: (B, C), 1 positive, 0 negative, -1 unknown; any dtype. Unknown cells are masked.
        mask: (B, C), non-zero where a cell counts. Masked cells give exactly zero loss and gradient, whatever
            their logits and weights are.
        weight: (B, C), factor for each cell.
        gamma_negative: focusing power of the negatives.
        gamma_positive: focusing power of the positives.
        clip: negatives with p at or below it cost nothing.
        reduction: ``'sum'`` over cells, ``'mean'`` over the unmasked cells (0 if there are none), or
            ``'batch_mean'``, the sum divided by B.

    Returns:
        A scalar, float32 (float64 for float64 logits).

    Raises:
        ConfigError: an option is out of its range.
        DataError: shapes differ, or a target is not 1, 0 or -1.
    """
    _check_options(gamma_negative, gamma_positive, clip, reduction)
    check_cells(logits, targets, mask=mask, weight=weight)
    with torch.autocast(logits.device.type, enabled=False):
        known = targets >= 0
        if mask is not None:
            known = known & (mask != 0)
        positive = targets == 1
        # Masked before the mathematics: 0 * inf afterwards would leave nan in the gradient.
        x = torch.where(known, logits.to(torch.promote_types(logits.dtype, torch.float32)), 0.0)

        if clip > 0:
            log_negative = (torch.sigmoid(-x) + clip).clamp(max=1).log()
        else:
            log_negative = F.logsigmoid(-x)
        loss = -torch.where(positive, F.logsigmoid(x), log_negative)

        with torch.no_grad():
            focusing = torch.where(
                positive,
                torch.sigmoid(-x) ** gamma_positive,
                (torch.sigmoid(x) - clip).clamp(min=0) ** gamma_negative,
            )
        loss = loss * focusing
        if weight is not None:
            loss = loss * weight.to(loss.dtype)
        total = torch.where(known, loss, 0.0).sum()

        if reduction == 'mean':
            return total / known.sum().clamp(min=1)
        if reduction == 'batch_mean':
            return total / max(len(logits), 1)
        return total


@MODELS.register_module()
class MaskedAsymmetricLoss(nn.Module):
    """:func:`masked_asymmetric_loss` with its options, for configs.

    Args:
        gamma_negative: focusing power of the negatives.
        gamma_positive: focusing power of the positives.
        clip: negatives whose probability is at or below it cost nothing.
        reduction: 'sum' over the known cells, their 'mean', or 'batch_mean', the sum divided by the images.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(
        self,
        gamma_negative: NotNegative = 4.0,
        gamma_positive: NotNegative = 0.0,
        clip: Annotated[float, Range(0, 1, below=True)] = 0.05,
        reduction: Annotated[str, OneOf(REDUCTIONS)] = 'sum',
    ) -> None:
        super().__init__()
        _check_options(gamma_negative, gamma_positive, clip, reduction)
        self.gamma_negative = gamma_negative
        self.gamma_positive = gamma_positive
        self.clip = clip
        self.reduction = reduction

    def forward(
        self, logits: Tensor, targets: Tensor, mask: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """The scalar loss of logits (B, C) against targets (B, C) in {1, 0, -1}."""
        return masked_asymmetric_loss(
            logits, targets, mask, weight, self.gamma_negative, self.gamma_positive, self.clip, self.reduction
        )

    def extra_repr(self) -> str:
        """The options, for printed models."""
        return (
            f'gamma_negative={self.gamma_negative}, gamma_positive={self.gamma_positive}, '
            f'clip={self.clip}, reduction={self.reduction!r}'
        )
