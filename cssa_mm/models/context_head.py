"""Context identification: which groups of co-occurring labels does the image show (auxiliary task, paper)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.models.alignment_head import Alignment
from cssa_mm.values import OneOf, Range

INPUTS = ('features', 'logits')
TARGETS = ('multi', 'single')
AFFINITIES = ('conditional', 'jaccard', 'cosine', 'count')
METHODS = ('spectral', 'agglomerative', 'kmeans')


@MODELS.register_module()
class ContextHead(nn.Module):
    """A linear classifier of K contexts on the alignment of an image; unused at inference unless it feeds back.

    The encoders are frozen, so it reads the *label-specific* features: only that way its gradient reaches the
    prompts (reconstruction).

    Args:
        num_classes: C (given by the classifier).
        embed_dim: D (given by the classifier).
        num_contexts: K.
        input: `'features'`, the mean of the label-specific features weighted by the scores; `'logits'`, the
            C logits.
        target: `'multi'`, every context with a positive label; `'single'`, the context with the most.
        affinity: kind of the affinity between labels, see `semi.contexts`.
        method: clustering of the labels, see `semi.contexts`.
        feedback: whether the predicted contexts shift the class logits: logits += sigmoid(context logits) U, with
            U (K, C) learned from 0 and kept at inference (ours, not the paper's).
    """

    assignment: Tensor

    def __init__(
        self,
        num_classes: int,
        embed_dim: int,
        num_contexts: Annotated[int, Range(2)] = 6,
        input: Annotated[str, OneOf(INPUTS)] = 'features',
        target: Annotated[str, OneOf(TARGETS)] = 'multi',
        affinity: Annotated[str, OneOf(AFFINITIES)] = 'conditional',
        method: Annotated[str, OneOf(METHODS)] = 'spectral',
        feedback: bool = False,
    ) -> None:
        super().__init__()
        if input not in INPUTS:
            raise ConfigError(f"context_head.input: found '{input}', expected one of {', '.join(INPUTS)}")
        if target not in TARGETS:
            raise ConfigError(f"context_head.target: found '{target}', expected 'multi' or 'single'")
        if num_classes < 2:
            raise ConfigError(
                'context_head: found one class, expected at least two to be grouped into contexts; set '
                'model.context_head=None'
            )
        if not 2 <= num_contexts <= num_classes:
            raise ConfigError(
                f'context_head.num_contexts: found {num_contexts}, expected 2 to {num_classes}, the number of classes'
            )
        self.num_contexts = num_contexts
        self.input = input
        self.target = target
        self.affinity = affinity
        self.method = method
        self.classifier = nn.Linear(embed_dim if input == 'features' else num_classes, num_contexts)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)
        self.feedback = nn.Parameter(torch.zeros(num_contexts, num_classes)) if feedback else None
        # The context of each class, -1 until the labelled set has been clustered.
        self.register_buffer('assignment', torch.full((num_classes,), -1, dtype=torch.int64))

    def forward(self, alignment: Alignment, is_taught: Tensor | None = None) -> Tensor:
        """Context logits (B, K), read from the classes that `is_taught` (C,) marks, by default from all.

        No gradient reaches the other classes: Adam scales gradients, so it would move their prompts as far as those
        that labels teach.
        """
        taught = torch.ones_like(alignment.logits[0]) if is_taught is None else is_taught.to(alignment.logits)
        if self.input == 'logits':
            return self.classifier(alignment.logits * taught)
        scores = torch.sigmoid(alignment.logits) * taught
        weights = scores / scores.sum(1, keepdim=True).clamp(min=1e-6)
        return self.classifier(alignment.features.summed(weights))

    def read(self, alignment: Alignment, is_taught: Tensor | None = None) -> Alignment:
        """The alignment with its context logits (B, K) and, if they feed back, the shifted logits (B, C)."""
        contexts = self(alignment, is_taught)
        logits = alignment.logits
        if self.feedback is not None:
            logits = logits + torch.sigmoid(contexts) @ self.feedback
        return alignment._replace(logits=logits, contexts=contexts)


def adapted_contexts(options: Mapping[str, Any] | None, num_classes: int) -> tuple[dict[str, Any] | None, str]:
    """Options of a context head that C classes allow, and what was changed, in a line that is empty if nothing was.

    At most C contexts; none at all of a single class.
    """
    if options is None:
        return None, ''
    if num_classes == 1:
        return None, 'model.context_head: left out, as a single class has no contexts'
    wanted = options.get('num_contexts')
    if not isinstance(wanted, int) or wanted <= num_classes:
        return dict(options), ''
    line = f'model.context_head.num_contexts: {num_classes} in place of {wanted}, as there are {num_classes} classes'
    return dict(options, num_contexts=num_classes), line


def context_targets(labels: Tensor, assignment: Tensor | np.ndarray, num_contexts: int, kind: str = 'multi') -> Tensor:
    """The targets of the context head for each image.

    ``multi``: a context is 1 if any of its labels is positive, 0 if all of its labels are negative, -1
    (masked) otherwise; a context without labels is masked. ``single``: the context with most positives is 1,
    the others 0; ties go to the lowest id, unknown cells count for nothing, and an image without positives is
    masked.

    Args:
        labels: (B, C) in {1, 0, -1}.
        assignment: (C,), the context of each label, from 0 to K - 1.
        num_contexts: K.
        kind: ``'multi'`` or ``'single'``.

    Returns:
        int8 (B, K) in {1, 0, -1}, on the device of the labels.

    Raises:
        ConfigError: kind is unknown.
        DataError: labels and assignment do not fit, or a context id is out of range.
    """
    if kind not in TARGETS:
        raise ConfigError(
            f'Contexts: unknown kind {kind!r}; expected one of {", ".join(TARGETS)}.{nearest(kind, TARGETS)}'
        )
    assignment = torch.as_tensor(assignment, dtype=torch.int64, device=labels.device)
    if labels.ndim != 2 or labels.shape[1:] != assignment.shape:
        raise DataError(
            f'Contexts: labels of shape {tuple(labels.shape)} and an assignment of shape '
            f'{tuple(assignment.shape)}; expected (images, classes) and (classes,).'
        )
    if len(assignment) and not 0 <= int(assignment.min()) <= int(assignment.max()) < num_contexts:
        raise DataError(
            f'Contexts: ids from {int(assignment.min())} to {int(assignment.max())}; expected 0 to {num_contexts - 1}.'
        )
    positives = _count_per_context(labels == 1, assignment, num_contexts)
    if kind == 'multi':
        negatives = _count_per_context(labels == 0, assignment, num_contexts)
        size = torch.bincount(assignment, minlength=num_contexts)
        targets = torch.full_like(positives, -1, dtype=torch.int8)
        targets[(negatives == size) & (size > 0)] = 0
        targets[positives > 0] = 1
        return targets
    # A stable sort, not argmax: which of several maxima argmax returns is undefined.
    best = positives.sort(dim=1, descending=True, stable=True).indices[:, 0]
    targets = torch.nn.functional.one_hot(best, num_contexts).to(torch.int8)
    targets[positives.sum(1) == 0] = -1
    return targets


def _count_per_context(cells: Tensor, assignment: Tensor, num_contexts: int) -> Tensor:
    """Of cells (B, C), how many are set in each context: int64 (B, K)."""
    counts = torch.zeros((len(cells), num_contexts), dtype=torch.int64, device=cells.device)
    return counts.index_add_(1, assignment, cells.long())
