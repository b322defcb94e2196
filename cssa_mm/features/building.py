"""Encode views once, by all ranks together: into memory that is filled in place, or shard by shard into a store."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import all_gather_object, all_reduce, barrier, broadcast_object_list, get_dist_info
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
    total = sum(len(part.indices) for part in parts)
    result = [torch.zeros(total, *tensor.shape[1:], dtype=dtype) for tensor in sample]
    offset = 0
    for part in parts:
        rows = share_of_rank(len(part.indices)) if shared else np.arange(len(part.indices))
        _fill(result, offset + rows, encoder(Part(part.indices[rows], part.side)) if len(rows) else iter(()))
        offset += len(part.indices)
    if shared and get_dist_info()[1] > 1:
        # Every row belongs to one rank, and is 0 on the others: the sum is exact.
        for tensor in result:
            for chunk in tensor.split(CHUNK):
                all_reduce(chunk)
    return result[0], result[1]


def _fill(result: Sequence[Tensor], rows: np.ndarray, batches: Iterator[Features]) -> None:
    start = 0
    for batch in batches:
        here = torch.as_tensor(rows[start : start + len(batch[0])])
        for whole, tensor in zip(result, batch, strict=True):
            whole[here] = tensor.to('cpu', whole.dtype)
        start += len(here)


def build_on_disk(
    store: FeatureStore,
    parts: Sequence[Part],
    keys: Sequence[Sequence[str]],
    encoder: Encoder,
    dtype: torch.dtype,
    reasons: Callable[[Part], Mapping[int, str]],
) -> None:
    """Write what a store lacks; all ranks must call it. A killed run goes on after its last whole shard.

    Ranks that see the same folder share the work; where a folder belongs to one machine, each machine has its own.

    Args:
        store: on every rank.
        parts: what it shall hold.
        keys: of the views of each part.
        encoder: encodes a part.
        dtype: of what is written.
        reasons: why images of a part are bad, by their position, as far as encoding has found them.
    """
    store.folder.mkdir(parents=True, exist_ok=True)
    store.remove_left_overs()
    number, together = ranks_at(store.folder)
    for part, names in zip(parts, keys, strict=True):
        mine = [row for row in range(number, len(names), together) if names[row] not in store.places]
        if mine:
            _write(store, Part(part.indices[mine], part.side), [names[row] for row in mine], encoder, dtype, reasons)
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
    rows: list[Features] = []
    start = count = 0
    for batch in encoder(part):
        rows.append((batch[0].to('cpu', dtype), batch[1].to('cpu', dtype)))
        count += len(batch[0])
        if count - start >= stores.ROWS or count == len(keys):
            local, pooled = (torch.cat(tensors) for tensors in zip(*rows, strict=True))
            bad = reasons(Part(part.indices[start:count], part.side))
            names = keys[start:count]
            store.write(names, local, pooled, {names[row]: reason for row, reason in bad.items()})
            rows, start = [], count


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


def all_agree(is_so: bool) -> bool:
    """Whether it is so on every rank; all must call it."""
    return all(all_gather_object(is_so))
