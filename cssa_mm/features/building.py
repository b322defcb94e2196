"""Encode views once, by all ranks together: into memory that is filled in place, or shard by shard into a store."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import all_reduce, barrier, broadcast_object_list, get_dist_info
from torch import Tensor

from cssa_mm.features import store as stores
from cssa_mm.features.cache import Features
from cssa_mm.features.encode import share_of_rank
from cssa_mm.features.kept_views import Part
from cssa_mm.features.store import FeatureStore

Encoder = Callable[[Part], Iterator[Features]]
CHUNK = 256  # views that the ranks exchange at a time


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

    Batches are those of a build from the beginning, so that nothing depends on where a run was killed: numbers round by
    batch, and images of their own sizes are padded to the largest of theirs.

    Ranks that see the same folder share the work; where a folder belongs to one machine, each machine has its own.

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
    number, together = ranks_at(store.folder)
    for part, names in zip(parts, keys, strict=True):
        mine = range(number, len(names), together)
        batches = [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
        rows = [row for batch in batches if any(names[row] not in store.places for row in batch) for row in batch]
        if rows:
            _write(store, Part(part.indices[rows], part.side), [names[row] for row in rows], encoder, dtype, reasons)
    barrier()
    store.refresh()


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


def ranks_at(folder: Path) -> tuple[int, int]:
    """The number of this rank among those that see the same folder, and how many these are; all must call it."""
    rank, world_size = get_dist_info()
    if world_size == 1:
        return 0, 1
    token = [uuid.uuid4().hex]
    broadcast_object_list(token)
    own = folder / f'.rank-{rank}-{token[0]}'
    own.touch()
    barrier()
    seen = [other for other in range(world_size) if (folder / f'.rank-{other}-{token[0]}').exists()]
    barrier()
    own.unlink()
    return seen.index(rank), len(seen)
