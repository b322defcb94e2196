"""What a model says of many images, with the work shared by all ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cssa_mm.features.encode import gather_rows, share_of_rank
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.models import CSSAClassifier


class Reader(NamedTuple):
    """A model, and the frozen features of the images that it reads."""

    model: CSSAClassifier
    features: FrozenFeatures

    def rows(
        self,
        of_batch: Callable[[Tensor, Tensor], Tensor],
        indices: np.ndarray,
        description: str,
        width: int | None = None,
    ) -> Tensor:
        """Rows (M, C), or of another width, of M images, on the CPU, the same on every rank; see `share`."""
        found = self.share(of_batch, indices, description, width)
        return gather_rows(found, share_of_rank(len(indices)), len(indices))

    def share(
        self,
        of_batch: Callable[[Tensor, Tensor], Tensor],
        indices: np.ndarray,
        description: str,
        width: int | None = None,
    ) -> Tensor:
        """Rows (m, C), or of another width, of this rank's share of M images, on the CPU.

        Args:
            of_batch: from local (b, N, D) and global (b, D) features to rows (b, width).
            indices: of the M images.
            description: stands before the progress, which is shown where the tower must encode the images.
            width: C by default.
        """
        mine = indices[share_of_rank(len(indices))]
        self.model.unfold()
        found = torch.empty(len(mine), width or len(self.model.class_names))
        start = 0
        for batch in self.features.batches(mine, description):
            rows = of_batch(*batch)
            found[start : start + len(rows)] = rows
            start += len(rows)
        return found

    def read(self, indices: np.ndarray, description: str = 'Images') -> Tensor:
        """What the teacher reads in M images, before it is weighed.

        Returns:
            The components (M, 3, C) of the evidence, or without evidence the logits (M, C).
        """
        if self.model.evidence is None:
            return self.rows(self.model.logits, indices, description)
        shape = (3, len(self.model.class_names))

        def of_batch(local: Tensor, pooled: Tensor) -> Tensor:
            return self.model.components(local, pooled).transpose(0, 1).flatten(1)

        return self.rows(of_batch, indices, description, shape[0] * shape[1]).unflatten(1, shape)

    def scores_of(self, readings: Tensor) -> Tensor:
        """Scores (M, C) that stand for what `read` has returned, by the weights as they are now."""
        evidence = self.model.evidence
        if evidence is not None:
            readings = evidence.combine(readings.to(evidence.bias.device).transpose(0, 1))
        return torch.sigmoid(readings).cpu()
