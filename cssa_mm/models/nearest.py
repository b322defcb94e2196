"""The nearest of many unit vectors: exact, in blocks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BLOCK = 65536  # keys at a time
# Two images of this cosine are the same photo, whitened as they are; one is no neighbour of the other.
SAME, SELF = 0.999, -2.0
CANDIDATES = 8  # times the wanted images: more than these are thinned out at random before they are covered


def nearest_keys(queries: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest keys of each query, nearest first.

    Args:
        queries: unit vectors (B, D), float32.
        keys: unit vectors (M, D) of any precision, M >= k.

    Returns:
        Cosines (B, k) and indices (B, k). A key that equals the query stands last, with a cosine of `SELF`.
    """
    if len(keys) <= BLOCK:
        return _in_block(queries, keys, k)
    parts = [_in_block(queries, block, min(k, len(block))) for block in keys.split(BLOCK)]
    similarity = torch.cat([part[0] for part in parts], 1)
    index = torch.cat([part[1] + number * BLOCK for number, part in enumerate(parts)], 1)
    best, order = similarity.topk(k, 1)
    return best, index.gather(1, order)


def _in_block(queries: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    similarity = queries @ keys.float().T
    similarity = torch.where(similarity > SAME, SELF, similarity)
    found = similarity.topk(k, 1)
    return found.values, found.indices


def cover(vectors: Tensor, most: int, seed: int) -> Tensor:
    """Indices, ascending, of at most `most` of n unit vectors (n, D), spread over all of them (k-means++)."""
    if len(vectors) <= most:
        return torch.arange(len(vectors), device=vectors.device)
    from sklearn.cluster import kmeans_plusplus  # takes long, and most commands do without

    generator = np.random.RandomState(seed)
    candidates = np.arange(len(vectors))
    if len(candidates) > CANDIDATES * most:
        candidates = np.sort(generator.choice(candidates, CANDIDATES * most, replace=False))
    chosen = kmeans_plusplus(vectors.cpu().numpy()[candidates], most, random_state=generator, n_local_trials=1)[1]
    return torch.as_tensor(np.unique(candidates[chosen]), device=vectors.device)
