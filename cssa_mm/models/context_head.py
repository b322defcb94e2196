"""Context identification: which groups of co-occurring labels does the image show (auxiliary task, paper)."""

from __future__ import annotations

import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from cssa_mm.errors import ConfigError
from cssa_mm.models.alignment_head import Alignment

INPUTS = ('features', 'logits')


@MODELS.register_module()
class ContextHead(nn.Module):
    """A linear classifier of K contexts on what the prompts found; dropped at inference, unless it feeds back.

    The encoders are frozen, so it reads the *label-specific* features: only that way its gradient reaches the
    prompts (reconstruction).

    Args:
        num_classes: C (given by the classifier).
        embed_dim: D (given by the classifier).
        num_contexts: K.
        input: `'features'`, the mean of the label-specific features weighted by the scores; `'logits'`, the
            C logits.
        target: `'multi'`, every context with a positive label; `'single'`, the one with most.
        affinity: of the labels, and
        method: that clusters them, both of `semi.contexts`.
        feedback: whether the contexts that an image seems to show speak for or against each class: logits +=
            sigmoid(context logits) U, with U (K, C) learned from 0 and kept at inference (ours, not the paper's).
    """

    def __init__(
        self,
        num_classes: int,
        embed_dim: int,
        num_contexts: int = 6,
        input: str = 'features',
        target: str = 'multi',
        affinity: str = 'conditional',
        method: str = 'spectral',
        feedback: bool = False,
    ) -> None:
        super().__init__()
        if input not in INPUTS:
            raise ConfigError(f"context_head.input: found '{input}', expected one of {', '.join(INPUTS)}")
        if target not in ('multi', 'single'):
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

        No gradient reaches the other classes: an optimiser that scales gradients, as Adam does, would move prompts
        that nothing else holds as far as those that labels teach.
        """
        taught = torch.ones_like(alignment.logits[0]) if is_taught is None else is_taught.to(alignment.logits)
        if self.input == 'logits':
            return self.classifier(alignment.logits * taught)
        scores = torch.sigmoid(alignment.logits) * taught
        weights = scores / scores.sum(1, keepdim=True).clamp(min=1e-6)
        return self.classifier((weights.unsqueeze(-1) * alignment.features).sum(1))

    def read(self, alignment: Alignment, is_taught: Tensor | None = None) -> Alignment:
        """The alignment with its context logits (B, K), and with what they say of the classes where they feed back."""
        contexts = self(alignment, is_taught)
        logits = alignment.logits
        if self.feedback is not None:
            logits = logits + torch.sigmoid(contexts) @ self.feedback
        return alignment._replace(logits=logits, contexts=contexts)
