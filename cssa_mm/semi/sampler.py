"""Batches of labelled and unlabelled images, the same for any number of ranks and workers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmpretrain.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from cssa_mm.datasets.labelled_images import drawn_images
from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.errors import ConfigError
from cssa_mm.values import Positive, Seed


class SemiSupervisedData(Protocol):
    """What the sampler needs to know of a data set."""

    labelled_indices: np.ndarray
    unlabelled_indices: np.ndarray


@DATA_SAMPLERS.register_module()
class SemiSupervisedSampler(Sampler):
    """Orders one epoch as global batches and yields this rank's share of each, as `SampleKey`s.

    Warm-up epochs are one pass over the labelled images. The later ones are one pass over the unlabelled images,
    each batch led by a fixed number of labelled ones, which are cycled. The last batch is filled up: in warm-up
    from a new permutation, later from the start of the epoch's order. Order and augmentation seeds depend on
    (seed, epoch) alone.

    Args:
        dataset: data set that knows which images are labelled (given by the loader).
        labelled_per_batch: labelled images in each global batch of a semi-supervised epoch.
        seed: seed of the order and of the augmentations; None draws one for all ranks from numpy's global generator.
        rank: of this process (given by the launcher); mmengine's by default.
        world_size: number of processes (given by the launcher); mmengine's by default.

    `batch_size`, the size of the global batch, is set by `GlobalBatchSampler`; `warmup_epochs` by the train loop, and
    `accumulation`, too: over how many batches the gradients of a step accumulate. A step on k batches shows the images
    of one batch that is k times as large, in k parts. `start_step` is the first step of the epoch that is yielded,
    where a checkpoint has done those before it.
    """

    def __init__(
        self,
        dataset: SemiSupervisedData,
        labelled_per_batch: Positive = 4,
        seed: Seed | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        default_rank, default_world_size = get_dist_info()
        self.rank = default_rank if rank is None else rank
        self.world_size = default_world_size if world_size is None else world_size
        self.labelled, self.unlabelled = drawn_images(dataset)
        if not len(self.labelled):
            raise ConfigError('train_dataloader.dataset: found no labelled image, expected some; give it a split')
        self.labelled_per_batch = labelled_per_batch
        # With `diff_rank_seed=True` mmengine gives no seed, but all ranks need the same order.
        self.seed = sync_random_seed() if seed is None else seed
        self.batch_size = 0
        self.warmup_epochs = 0
        self.accumulation = 1
        self.epoch = 0
        self.start_step = 0

    def set_batch_size(self, batch_size: int) -> None:
        """Set the size of the global batch.

        Raises:
            ConfigError: it is no whole number, leaves no unlabelled image, or does not divide over the ranks.
        """
        for key, value in (('batch_size', batch_size), ('sampler.labelled_per_batch', self.labelled_per_batch)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f'train_dataloader.{key}: found {value!r}, expected a whole number')
        if not 0 < self.labelled_per_batch < batch_size:
            raise ConfigError(
                f'train_dataloader.sampler.labelled_per_batch: found {self.labelled_per_batch}, expected 1 to '
                f'{batch_size - 1}, less than train_dataloader.batch_size = {batch_size}'
            )
        if batch_size % self.world_size:
            lower = batch_size // self.world_size * self.world_size
            sizes = [size for size in (lower, lower + self.world_size) if size > self.labelled_per_batch]
            raise ConfigError(
                f'train_dataloader.batch_size: found {batch_size}, the size of the global batch, which does not '
                f'divide over {self.world_size} processes; the nearest that do are {" and ".join(map(str, sizes))}'
            )
        self.batch_size = batch_size

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch; mmengine's DistSamplerSeedHook calls it."""
        self.epoch = epoch

    def num_batches(self, epoch: int) -> int:
        """Steps of an epoch."""
        if epoch < self.warmup_epochs:
            return math.ceil(len(self.labelled) / (self.accumulation * self.batch_size))
        return math.ceil(len(self.unlabelled) / (self.accumulation * (self.batch_size - self.labelled_per_batch)))

    def require_unlabelled(self) -> None:
        """Raise a ConfigError if there is no unlabelled image."""
        if not len(self.unlabelled):
            raise ConfigError(
                'train_dataloader.dataset: found no unlabelled image, expected some; add photos without labels, train '
                'on labels alone with train_cfg.semi_epochs=0, or, for a study, hide labels with '
                'train_dataloader.dataset.split.proportion=0.1'
            )

    def __len__(self) -> int:
        return self.num_batches(self.epoch) * self.accumulation * self.batch_size // self.world_size

    def __iter__(self) -> Iterator[SampleKey]:
        for batch in self.global_batches(self.start_step):
            for part in self.shares(batch):
                yield from part

    def shares(self, batch: list[SampleKey]) -> list[list[SampleKey]]:
        """This rank's share of each part of a step; each part has the same number of labelled images."""
        labelled = 0 if self.epoch < self.warmup_epochs else self.accumulation * self.labelled_per_batch
        share = self.batch_size // self.world_size
        shares = []
        for part in range(self.accumulation):
            images = _part(batch[:labelled], part, self.accumulation) + _part(batch[labelled:], part, self.accumulation)
            shares.append(images[self.rank * share : (self.rank + 1) * share])
        return shares

    def global_batches(self, start: int = 0) -> Iterator[list[SampleKey]]:
        """The images of the epoch's steps from `start` on, for all ranks; an epoch takes 16 bytes an image."""
        generator = torch.Generator().manual_seed(_mix(self.seed, self.epoch))
        steps, size = self.num_batches(self.epoch), self.accumulation * self.batch_size
        if self.epoch < self.warmup_epochs:
            order = _cycle(self.labelled, steps * size, generator).reshape(steps, -1)
        else:
            self.require_unlabelled()
            labelled_per_step = self.accumulation * self.labelled_per_batch
            labelled = _cycle(self.labelled, steps * labelled_per_step, generator).reshape(steps, -1)
            unlabelled = steps * (size - labelled_per_step)
            # Cycled from one permutation: only the last batch sees an image for the second time.
            permutation = self.unlabelled[torch.randperm(len(self.unlabelled), generator=generator).numpy()]
            order = np.concatenate([labelled, np.resize(permutation, unlabelled).reshape(steps, -1)], axis=1)
        seeds = torch.randint(2**31, order.shape, generator=generator).numpy()
        # Keys are made batch by batch: as Python objects those of an epoch take ten times the memory.
        return (list(map(SampleKey, order[step].tolist(), seeds[step].tolist())) for step in range(start, len(order)))


@DATA_SAMPLERS.register_module()
class GlobalBatchSampler(Sampler):
    """Cuts a `SemiSupervisedSampler` into this rank's batches; `batch_size` counts the images of all ranks."""

    def __init__(self, sampler: SemiSupervisedSampler, batch_size: int) -> None:
        if not isinstance(sampler, SemiSupervisedSampler):
            raise ConfigError(
                f'train_dataloader.sampler: found a {type(sampler).__name__}, expected a SemiSupervisedSampler '
                'before the GlobalBatchSampler'
            )
        sampler.set_batch_size(batch_size)
        self.sampler = sampler
        self.batch_size = batch_size

    def __len__(self) -> int:
        """Steps of the epoch: with accumulation each of them takes several batches."""
        return self.sampler.num_batches(self.sampler.epoch)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for batch in self.sampler.global_batches(self.sampler.start_step):
            yield from self.sampler.shares(batch)


def _part(keys: list[SampleKey], part: int, parts: int) -> list[SampleKey]:
    size = len(keys) // parts
    return keys[part * size : (part + 1) * size]


def _cycle(indices: np.ndarray, count: int, generator: torch.Generator) -> np.ndarray:
    """`count` indices: one permutation after the other."""
    permutations = [
        indices[torch.randperm(len(indices), generator=generator).numpy()]
        for _ in range(math.ceil(count / len(indices)))
    ]
    return np.concatenate(permutations)[:count]


def _mix(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
