"""The search among stored images: exact, and beyond a million of them by an index of faiss."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from cssa_mm.errors import ConfigError
from cssa_mm.models.nearest import BLOCK, SAME, SELF, nearest_keys

LARGEST = 10**6  # keys that are searched exactly
LISTS, PROBED = 1024, 128  # of the index: it compares a query with the keys in an eighth of the lists
SAMPLES = 40 * LISTS  # keys that the lists are found from
CANDIDATES = 2  # times k: how many faiss names, before exact cosines choose


class NeighbourSearch:
    """The nearest of M unit vectors; see `nearest_keys`.

    Beyond `LARGEST` keys it needs faiss, whose inverted lists miss some of the nearest (a tenth of 33 among a million
    noisy ones); the cosines of those that they find are exact. The index is built once for the keys of a model, in less
    than a minute for a million of D = 256 on one core, and never saved.
    """

    def __init__(self) -> None:
        self._index: Any = None
        self._keys: Tensor | None = None
        self._version = -1

    def __call__(self, queries: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Cosines (B, k) and indices (B, k) of the k nearest keys (M, D) of queries (B, D), nearest first.

        Raises:
            ConfigError: there are more than `LARGEST` keys, and faiss is not installed.
        """
        if len(keys) <= LARGEST:
            return nearest_keys(queries, keys, k)
        if self._keys is not keys or self._version != keys._version:
            self._index, self._keys, self._version = _built(keys), keys, keys._version
        found = self._index.search(queries.detach().cpu().numpy(), CANDIDATES * k)[1]
        index = torch.from_numpy(found).to(keys.device)
        similarity = torch.einsum('bd,bkd->bk', queries, keys[index.clamp(min=0)].float())
        similarity = torch.where((similarity > SAME) | (index < 0), SELF, similarity)
        best, order = similarity.topk(k, 1)
        return best, index.gather(1, order).clamp(min=0)

    def __reduce__(self) -> tuple:
        return type(self), ()  # a copy builds an index of its own


def _built(keys: Tensor) -> Any:
    faiss = _faiss(len(keys))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(keys.shape[1]),
        keys.shape[1],
        LISTS,
        faiss.ScalarQuantizer.QT_fp16,
        faiss.METRIC_INNER_PRODUCT,
    )
    index.by_residual, index.nprobe = False, PROBED
    chosen = torch.randperm(len(keys), generator=torch.Generator().manual_seed(0))[:SAMPLES]
    index.train(keys[chosen.to(keys.device)].float().cpu().numpy())
    for block in keys.split(BLOCK):
        index.add(block.float().cpu().numpy())
    return index


def _faiss(count: int) -> Any:
    try:
        return importlib.import_module('faiss')
    except ImportError as error:
        raise ConfigError(
            f'model.neighbours: found {count:,} stored images and no faiss, expected it for more than {LARGEST:,}; '
            f"install it: pip install 'cssa_mm[faiss]', or train with model.neighbours.max_images={LARGEST}"
        ) from error
