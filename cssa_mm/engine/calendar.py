"""The epochs of a training: the optimiser steps of each, as warm-up epochs are shorter, and which are validated."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate

from mmengine.runner import EpochBasedTrainLoop


class Calendar:
    """Turns epochs into optimiser steps.

    Args:
        lengths: steps of each epoch.

    Examples:
        >>> Calendar([1, 1, 4, 4]).steps(3)
        6
        >>> Calendar([1, 1, 4, 4]).steps(2.5)
        4
        >>> Calendar([1, 1, 4, 4]).steps(6)
        18
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = list(lengths)
        self.ends = [0, *accumulate(self.lengths)]

    @classmethod
    def of(cls, loop: EpochBasedTrainLoop) -> Calendar:
        """The calendar of a train loop."""
        sampler = getattr(loop.dataloader.batch_sampler, 'sampler', None)
        if sampler is None or not hasattr(sampler, 'num_batches'):  # a loop with epochs of one length
            return cls([len(loop.dataloader)] * loop.max_epochs)
        return cls([sampler.num_batches(epoch) for epoch in range(loop.max_epochs)])

    @property
    def epochs(self) -> int:
        """Epochs of the training."""
        return len(self.lengths)

    @property
    def total(self) -> int:
        """Steps of the training."""
        return self.ends[-1]

    def steps(self, epoch: float) -> int:
        """Steps before an epoch, or before a point inside of it; epochs after the training are like its last one."""
        whole = min(math.floor(epoch), self.epochs)
        length = self.lengths[min(whole, self.epochs - 1)] if self.lengths else 1
        # A part such as 2.3 - 2 may be a little less than it is meant to be.
        return self.ends[whole] + math.floor((epoch - whole) * length + 1e-6)


def is_validated(loop: EpochBasedTrainLoop, epoch: int) -> bool:
    """Whether a validation follows an epoch, counted from 1; besides, one follows the last."""
    interval = loop.dynamic_intervals[bisect(loop.dynamic_milestones, epoch + 1) - 1]
    return epoch >= loop.val_begin and epoch % interval == 0
