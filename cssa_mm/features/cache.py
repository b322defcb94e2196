"""A cache of frozen features: the tower never changes, so they are computed once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

Features = tuple[Tensor, Tensor]  # local (b, N, D) and global (b, D)
# Image id and side: (id, False) is the plain view, (id, True) its mirror image, (id, 'strong', 0) a strong view.
View = tuple


class FeatureCache:
    """Local (R, N, D) and global (R, D) features of R views, in memory or mapped from files, looked up by view.

    What is kept in float16 is looked up in float32. `serves_training` says that these are all views that training can
    draw. Otherwise they serve scoring alone: a strongly augmented image that is not mirrored must not be taken for its
    plain view. Where some images do not fit, `training_ids` are those whose training views are all here.
    """

    def __init__(self, views: Sequence[View], local: Tensor, pooled: Tensor, serves_training: bool) -> None:
        self.serves_training = serves_training
        self.training_ids: Collection[str] = ()
        self._places = {view: (0, row) for row, view in enumerate(views)}
        self._shards: Sequence[Features] = [(local, pooled)]

    @classmethod
    def of_shards(
        cls, places: Mapping[View, tuple[int, int]], shards: Sequence[Features], serves_training: bool
    ) -> FeatureCache:
        """Features that lie in several shards: the place of a view is the number of its shard, and its row there."""
        cache = cls([], torch.empty(0), torch.empty(0), serves_training)
        cache._places, cache._shards = dict(places), shards
        return cache

    def __len__(self) -> int:
        return len(self._places)

    @property
    def nbytes(self) -> int:
        """Bytes of all shards."""
        return sum(tensor.nbytes for shard in self._shards for tensor in shard)

    def __contains__(self, view: View) -> bool:
        return view in self._places

    def holds(self, views: Sequence[View]) -> bool:
        """Whether the cache holds all of the views."""
        return all(view in self._places for view in views)

    def lookup(self, views: Sequence[View], device: torch.device) -> Features:
        """Local (B, N, D) and global (B, D) features of B views, float32."""
        places = [self._places[view] for view in views]
        numbers, rows = torch.tensor(places, dtype=torch.int64).reshape(-1, 2).T
        shards = sorted({number for number, _ in places}) or [0]
        if len(shards) == 1:
            local, pooled = (tensor[rows] for tensor in self._shards[shards[0]])
        else:
            local, pooled = (tensor.new_empty(len(views), *tensor.shape[1:]) for tensor in self._shards[shards[0]])
            for number in shards:
                here = numbers == number
                for whole, tensor in zip((local, pooled), self._shards[number], strict=True):
                    whole[here] = tensor[rows[here]]
        return local.to(device).float(), pooled.to(device).float()

    def batches(self, views: Sequence[View], device: torch.device, batch_size: int) -> Iterator[Features]:
        """`lookup` in batches."""
        for start in range(0, len(views), batch_size):
            yield self.lookup(views[start : start + batch_size], device)
