"""The score of a rank among the images of all processes, without any of them holding the scores of all (ours)."""

from __future__ import annotations

import torch
from torch import Tensor

from cssa_mm.semi.shares import summed, total_of

DIGIT = 8  # bits of a float that a pass settles
CELLS = 2**20  # scores that are counted at a time
SIGN = 2**31


def num_images(scores: Tensor) -> int:
    """The number M of images of all processes, from the share (m, C) of each; every process must call it."""
    return total_of(scores)


def scores_at(scores: Tensor, ranks: Tensor) -> Tensor:
    """Per class the score of a rank, counted from the highest, among the images of all processes.

    The exact score, tied ones included, by a radix search: the 32 bits of a float32, with their sign turned, order as
    the numbers do. Four passes settle eight bits each, from counts of the 256 next digits, C x 256 of them, which the
    processes sum. Every process must call it.

    Args:
        scores: (m, C), float32 without NaN: this process's share of the M images.
        ranks: int64 (C,) from 1 to M.

    Returns:
        float32 (C,), the same on every process; without any image, nothing of use.

    Examples:
        >>> scores_at(torch.tensor([[0.1, 0.7], [0.4, 0.7], [0.3, 0.2]]), torch.tensor([1, 2]))
        tensor([0.4000, 0.7000])
    """
    prefix = torch.zeros(scores.shape[1], dtype=torch.int64, device=scores.device)
    left = ranks.to(prefix)
    for shift in range(32 - DIGIT, -1, -DIGIT):
        from_highest = summed(_counts(scores, prefix, shift)).flip(1).cumsum(1)
        place = (from_highest < left[:, None]).sum(1).clamp(max=2**DIGIT - 1)
        above = torch.nn.functional.pad(from_highest, (1, 0)).gather(1, place[:, None])[:, 0]
        left = left - above
        prefix = (prefix << DIGIT) + (2**DIGIT - 1 - place)
    return torch.where(prefix >= SIGN, prefix - SIGN, ~prefix).to(torch.int32).view(torch.float32)


def _counts(scores: Tensor, prefix: Tensor, shift: int) -> Tensor:
    """Counts (C, 256) of the digit at `shift`, of the scores whose digits above it are those of `prefix` (C,)."""
    num_classes = scores.shape[1]
    counts = torch.zeros(num_classes << DIGIT, dtype=torch.int64, device=scores.device)
    first = torch.arange(num_classes, device=scores.device) << DIGIT
    for part in scores.split(max(1, CELLS // max(1, num_classes))):
        keys = _keys(part)
        digits = ((keys >> shift) & (2**DIGIT - 1)) + first
        counts += digits[(keys >> (shift + DIGIT)) == prefix].bincount(minlength=len(counts))
    return counts.view(num_classes, 2**DIGIT)


def _keys(scores: Tensor) -> Tensor:
    """Whole numbers below 2 to the 32 that order as the scores do; 0.0 and -0.0 are one."""
    bits = (scores.float() + 0.0).view(torch.int32).to(torch.int64)
    return torch.where(bits < 0, ~bits, bits + SIGN)
