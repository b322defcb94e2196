"""Encode views once, by all ranks together: into memory that is filled in place, or shard by shard into a store."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.dist import all_reduce, barrier, get_dist_info
from torch import Tensor
from tqdm import tqdm

from cssa_mm.features import store as stores
from cssa_mm.features.cache import Features
from cssa_mm.features.encode import share_of_rank
from cssa_mm.features.kept_views import Part
from cssa_mm.features.store import FeatureStore

Encoder = Callable[[Part], Iterator[Features]]
CHUNK = 256  # views that the ranks exchange at a time
BLOCKS = 8  # of a part for each rank: the last one may keep the others waiting, and each starts a loader


def build_in_memory(
    parts: Sequence[Part], encoder: Encoder, sample: Features, dtype: torch.dtype, shared: bool
) -> Features:
    """Local (R, N, D) and global (R, D) features of all parts, one after the other, on the CPU.

    Args:
        parts: what is encoded.
        encoder: encodes a part.
        sample: features of one view, for the shapes.
        dtype: of the result.
        shared: whether each rank encodes its share for all; then all must call it.
    """
    total, offset = sum(len(part.indices) for part in parts), 0
    result: list[Tensor] = []
    for part in parts:
        rows = share_of_rank(len(part.indices)) if shared else np.arange(len(part.indices))
        start = offset
        for batch in encoder(Part(part.indices[rows], part.side)) if len(rows) else ():
            result = result or _room(total, batch, dtype)
            here = torch.as_tensor(offset + rows[start - offset : start - offset + len(batch[0])])
            for whole, tensor in zip(result, batch, strict=True):
                whole[here] = tensor.to('cpu', dtype)
            start += len(here)
        offset += len(part.indices)
    result = result or _room(total, sample, dtype)
    if shared and get_dist_info()[1] > 1:
        # Every row belongs to one rank, and is 0 on the others: the sum is exact.
        for tensor in result:
            for chunk in tensor.split(CHUNK):
                all_reduce(chunk)
    return result[0], result[1]


def _room(total: int, like: Features, dtype: torch.dtype) -> list[Tensor]:
    return [torch.zeros(total, *tensor.shape[1:], dtype=dtype) for tensor in like]


def build_on_disk(
    store: FeatureStore,
    parts: Sequence[Part],
    keys: Sequence[Sequence[str]],
    encoder: Encoder,
    dtype: torch.dtype,
    reasons: Callable[[Part], Mapping[int, str]],
    batch_size: int,
) -> None:
    """Write what a store lacks; all ranks must call it. A killed run goes on after its last whole shard.

    Whoever builds in the same folder at the same time shares the work, be it a rank or another run: each claims one
    block after the other. Where a folder belongs to one machine, each machine has its own. Batches are those of a build
    from the beginning, so that nothing depends on where a run was killed, or on who encodes: numbers round by batch,
    and images of their own sizes are padded to the largest of theirs.

    Args:
        store: on every rank.
        parts: what it shall hold.
        keys: of the views of each part.
        encoder: encodes a part.
        dtype: of what is written.
        reasons: why images of a part are bad, by their position, as far as encoding has found them.
        batch_size: of the encoder.
    """
    store.folder.mkdir(parents=True, exist_ok=True)
    store.remove_left_overs()
    rank, world_size = get_dist_info()
    blocks = [
        _Block(store, Part(part.indices[start:end], part.side), names[start:end], batch_size)
        for part, names in zip(parts, keys, strict=True)
        for start, end in _limits(len(names), batch_size, world_size)
    ]
    first = rank * len(blocks) // world_size  # ranks would meet less, even where nothing can be claimed
    waiting = blocks[first:] + blocks[:first]
    with tqdm(total=sum(map(len, keys)), desc='Encoding views', leave=False, disable=rank != 0) as progress:
        for may_wait in (False, True):
            left = []
            for block in waiting:
                if block.write(encoder, dtype, reasons, may_wait):
                    progress.update(len(block.keys))
                else:
                    left.append(block)
            waiting = left
    barrier()
    store.refresh()


def _limits(total: int, batch_size: int, world_size: int) -> list[tuple[int, int]]:
    """The first row of each block, and that after its last one: whole shards, or batches, where ranks have less."""
    shard = math.ceil(stores.ROWS / batch_size) * batch_size
    size = math.ceil(total / (BLOCKS * world_size))
    unit = batch_size if world_size > 1 and size < shard else shard
    size = math.ceil(size / unit) * unit
    return [(start, min(start + size, total)) for start in range(0, total, size)]


@dataclass(frozen=True)
class _Block:
    """Views of one part that one process encodes."""

    store: FeatureStore
    part: Part
    keys: Sequence[str]
    batch_size: int

    def missing(self) -> list[int]:
        """Rows of the batches that are not all there."""
        batches = [
            range(start, min(start + self.batch_size, len(self.keys)))
            for start in range(0, len(self.keys), self.batch_size)
        ]
        known = self.store.places
        return [row for batch in batches if any(self.keys[row] not in known for row in batch) for row in batch]

    def write(
        self, encoder: Encoder, dtype: torch.dtype, reasons: Callable[[Part], Mapping[int, str]], may_wait: bool
    ) -> bool:
        """Encode what is missing; whether all is there now, which another process may be about to write."""
        if not self.missing():
            return True
        with self.store.claimed(self.keys, may_wait) as is_mine:
            if not is_mine:
                return False
            self.store.refresh()  # another process may have written it
            rows = self.missing()
            if rows:
                part, keys = Part(self.part.indices[rows], self.part.side), [self.keys[row] for row in rows]
                _write(self.store, part, keys, encoder, dtype, reasons)
        return True


def _write(
    store: FeatureStore,
    part: Part,
    keys: Sequence[str],
    encoder: Encoder,
    dtype: torch.dtype,
    reasons: Callable[[Part], Mapping[int, str]],
) -> None:
    waiting: list[Features] = []
    names: list[str] = []
    bad: dict[str, str] = {}
    start = 0
    for batch in encoder(part):
        here = [row for row in range(start, start + len(batch[0])) if keys[row] not in store.places]
        wanted = torch.tensor(here, dtype=torch.int64, device=batch[0].device) - start
        waiting.append((batch[0][wanted].to('cpu', dtype), batch[1][wanted].to('cpu', dtype)))
        names += [keys[row] for row in here]
        bad |= {keys[here[row]]: reason for row, reason in reasons(Part(part.indices[here], part.side)).items()}
        start += len(batch[0])
        if len(names) >= stores.ROWS or start == len(keys):
            local, pooled = (torch.cat(tensors) for tensors in zip(*waiting, strict=True))
            store.write(names, local, pooled, bad)
            waiting, names, bad = [], [], {}
