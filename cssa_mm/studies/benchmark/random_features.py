"""Features of a tower that did not run: rows that measure what comes after it need no images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

KEPT = 256  # different images; the others repeat them
Features = tuple[Tensor, Tensor]


class RandomFeatures:
    """Stands where `FrozenFeatures` stands: local (b, N, D) and global (b, D) features of images that are cached.

    Args:
        positions: N.
        embed_dim: D.
        batch_size: images at a time.
        device: where the features are wanted.
    """

    def __init__(self, positions: int, embed_dim: int, batch_size: int = 64, device: str = 'cpu') -> None:
        generator = torch.Generator().manual_seed(0)
        self.local = torch.randn(KEPT, positions, embed_dim, generator=generator)
        self.pooled = self.local.mean(1)
        self.batch_size = batch_size
        self.device = device

    def of_batch(self, count: int) -> Features:
        """Features of one batch."""
        rows = torch.arange(count) % KEPT
        return self.local[rows].to(self.device), self.pooled[rows].to(self.device)

    def batches(self, indices: Sequence[int] | np.ndarray, description: str = '') -> Iterator[Features]:
        """Features of some images, batch by batch, in order."""
        for rows in torch.as_tensor(np.asarray(indices) % KEPT).split(self.batch_size):
            yield self.local[rows].to(self.device), self.pooled[rows].to(self.device)

    def held(self, indices: np.ndarray, description: str = '') -> Callable[[], Iterator[Features]]:
        """A function that gives `batches` each time."""
        return lambda: self.batches(indices)
