"""The unlabelled images of one process: of M rows, row r belongs to rank r % W, and each rank holds its rows alone.

All functions here exchange something: every rank must call them. One process exchanges nothing.
"""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size, is_main_process
from torch import Tensor

from cssa_mm.features.encode import gather_rows, share_of_rank

CHUNK = 2**16  # rows of each rank that are gathered at a time


def summed(counts: Tensor) -> Tensor:
    """Whole numbers, int64, summed over the ranks: exact, whatever the number of ranks."""
    total = counts.to(torch.int64, copy=True)
    all_reduce(total)
    return total


def total_of(share: Tensor) -> int:
    """The number M of rows of all ranks, from the share (m, ...) of each."""
    return int(summed(torch.tensor([len(share)])))


def column_of_all(share: Tensor, total: int) -> Tensor:
    """One number of each of the M = `total` images, (M,) on every rank, from the shares (m,)."""
    return gather_rows(share, share_of_rank(total), total)


def gathered(share: Tensor, total: int) -> Tensor | None:
    """All M = `total` rows (M, ...) on rank 0, None on the others, from the shares (m, ...)."""
    if not total:
        return share if is_main_process() else None
    parts, world_size = [], get_world_size()
    for start in range(0, -(-total // world_size), CHUNK):
        size = min(CHUNK * world_size, total - start * world_size)
        part = gather_rows(share[start : start + CHUNK], share_of_rank(size), size)
        if is_main_process():
            parts.append(part)
    return torch.cat(parts) if is_main_process() else None
