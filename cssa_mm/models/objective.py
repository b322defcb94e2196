"""The training loss: L = L_labelled + lambda_u L_unlabelled + lambda_c (L_context of both) (paper).

Every weight is a reconstruction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.dist import all_reduce, get_world_size
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from cssa_mm.models.alignment_head import Alignment
from cssa_mm.models.context_head import ContextHead, context_targets
from cssa_mm.models.losses import MaskedAsymmetricLoss
from cssa_mm.models.toolbox_losses import ToolboxLoss


class Targets(NamedTuple):
    """The training targets of a batch of B images; the semi-supervision hands them to the classifier.

    labels: (B, C) in 1, 0, -1 (unknown): annotations of labelled images, pseudo-labels of the others.
    weights: (B, C), the factor of each cell in the loss.
    is_labelled: bool (B,).
    is_readable: bool (B,), False for a bad image, which adds to no loss.
    is_semi_supervised: whether the unlabelled images of this epoch have pseudo-labels; the same on every rank.
    parts: in how many parts, of B images each, the gradients of a step accumulate.
    whole: the targets of all parts of the step, where it has several.
    """

    labels: Tensor
    weights: Tensor
    is_labelled: Tensor
    is_readable: Tensor
    is_semi_supervised: bool = False
    parts: int = 1
    whole: Targets | None = None

    def part(self, rows: slice, parts: int) -> Targets:
        """The targets of one of several parts of a step."""
        labels, weights, is_labelled, is_readable = (tensor[rows] for tensor in self[:4])
        return Targets(labels, weights, is_labelled, is_readable, self.is_semi_supervised, parts, whole=self)

    @classmethod
    def of_annotations(cls, data_samples: Sequence[DataSample]) -> Targets:
        """The targets that the annotations alone give: every label of an unlabelled image is unknown.

        Args:
            data_samples: of the batch, or what has their `gt_score`, `is_labelled` and `get('bad_image')`.
        """
        labels = torch.stack([sample.gt_score for sample in data_samples])
        is_labelled = torch.tensor([bool(sample.is_labelled) for sample in data_samples], device=labels.device)
        is_readable = torch.tensor([sample.get('bad_image') is None for sample in data_samples], device=labels.device)
        return cls(labels, torch.ones_like(labels), is_labelled, is_readable)


class SemiSupervisedObjective(nn.Module):
    """The losses of one step from the alignment of a batch and its targets.

    Args:
        cell_loss: the loss of a cell (image, class), for labels, pseudo-labels and contexts (there without weights of
            classes). Its `reduction` counts over the *global* batch, whatever the number of ranks: `'sum'` over cells
            (CAP), `'mean'` over the unmasked cells of its part, or `'batch_mean'`, the sum divided by the images of its
            part.
        unlabelled_weight: lambda_u.
        context_weight: lambda_c.
    """

    def __init__(
        self, cell_loss: MaskedAsymmetricLoss | ToolboxLoss, unlabelled_weight: float, context_weight: float
    ) -> None:
        super().__init__()
        self.cell_loss = cell_loss
        self.context_loss = cell_loss.for_contexts() if isinstance(cell_loss, ToolboxLoss) else cell_loss
        # The module sums over this rank's share; `_reduced` divides by the count of the global batch.
        self.reduction, self.cell_loss.reduction = self.cell_loss.reduction, 'sum'
        self.unlabelled_weight = unlabelled_weight
        self.context_weight = context_weight

    def forward(
        self, alignment: Alignment, targets: Targets, is_taught: Tensor, context_head: ContextHead | None
    ) -> dict[str, Tensor]:
        """Name -> loss.

        Args:
            alignment: of the B images, with context logits (B, K) where there is a context head.
            targets: of the B images.
            is_taught: bool (C,), the classes with labelled positives; the others are masked.
            context_head: the head of the auxiliary task; None leaves the task out.
        """
        if alignment.contexts is None:
            context_head = None
        known = self._known(targets, is_taught, context_head)
        counted = known if targets.whole is None else self._known(targets.whole, is_taught, context_head)
        scale = get_world_size() * targets.parts
        losses = {}
        for name, cells in known.items():
            cell_loss, logits, weights = self.cell_loss, alignment.logits, targets.weights
            factor = 1.0 if name == 'loss_labelled' else self.unlabelled_weight
            if alignment.contexts is not None and name.startswith('loss_context'):
                cell_loss, logits, weights = self.context_loss, alignment.contexts, torch.ones_like(alignment.contexts)
                factor = self.context_weight
            total = cell_loss(logits, cells[0], weight=weights) * scale
            losses[name] = factor * self._reduced(total, *counted[name])
        return losses

    def _known(
        self, targets: Targets, is_taught: Tensor, context_head: ContextHead | None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """What each loss is of: its targets (B, C) or (B, K), which are -1 for all other images, and its rows (B,)."""
        labelled = targets.is_labelled & targets.is_readable
        unlabelled = ~targets.is_labelled & targets.is_readable
        taught = torch.where(is_taught, targets.labels, -1)
        rows = {'labelled': labelled} | ({'unlabelled': unlabelled} if targets.is_semi_supervised else {})
        parts = {f'loss_{kind}': (taught, of_kind) for kind, of_kind in rows.items()}
        if context_head is not None:
            # An untaught class is masked in every unlabelled image, where its context could never be a negative.
            labels = torch.where(is_taught, targets.labels, 0)
            contexts = context_targets(labels, context_head.assignment, context_head.num_contexts, context_head.target)
            parts |= {f'loss_context_{kind}': (contexts, of_kind) for kind, of_kind in rows.items()}
        return {name: (torch.where(rows[:, None], cells, -1), rows) for name, (cells, rows) in parts.items()}

    def _reduced(self, total: Tensor, cells: Tensor, rows: Tensor) -> Tensor:
        """One loss of the global batch from its sum over this rank's share of one part of a step.

        The distributed wrapper averages gradients over the ranks, and the optimiser those of the parts of a step;
        multiplied by their numbers (`scale`), the average is the sum. What divides it is counted over the whole step.
        A rank without such rows returns a zero that is still connected to the graph.
        """
        if self.reduction == 'sum':
            return total
        count = ((cells >= 0).sum() if self.reduction == 'mean' else rows.sum()).to(total)
        all_reduce(count)
        return total / count.clamp(min=1)
