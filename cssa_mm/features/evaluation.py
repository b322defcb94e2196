"""Images of validations and tests, whose features are kept like those of training: they are encoded once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.runner import Runner, TestLoop, ValLoop
from mmpretrain.engine.hooks import VisualizationHook
from torch.utils.data import BatchSampler, DataLoader

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.view import View
from cssa_mm.features.cache import FeatureCache
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.features.kept_items import without_images
from cssa_mm.features.kept_views import PLAIN
from cssa_mm.features.view import shows_view_alone


class KeptBatches:
    """Stands where a loader stands, and gives its batches with features in place of pixels.

    Args:
        loader: of a data set that shows the plain view alone.
        cache: holds the plain views of the images that it gives.
    """

    def __init__(self, loader: DataLoader, cache: FeatureCache) -> None:
        self.dataset = cast(SemiMultiLabelDataset, loader.dataset)
        self.sampler, self.batch_sampler = loader.sampler, cast(BatchSampler, loader.batch_sampler)
        self.batch_size, self.collate_fn, self.num_workers = loader.batch_size, loader.collate_fn, 0
        self.cache = cache
        self._items = copy.copy(self.dataset)
        self._items.pipeline = without_images(self._items.pipeline)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[dict]:
        for indices in self.batch_sampler:
            batch = self.collate_fn(self._items.__getitems__(indices))
            views = [(self._items.image_ids[i], *PLAIN) for i in indices]
            yield batch | dict(features=self.cache.lookup(views, torch.device('cpu')))


def keep_evaluation(runner: Runner, loop: ValLoop | TestLoop, features: FrozenFeatures) -> None:
    """Let a runner validate or test on kept features, if all of them fit; all ranks must call it.

    Batches are encoded as the loader makes them, so that its figures stay the same bitwise.

    Args:
        runner: of the loop.
        loop: before its first pass.
        features: of the model and with the options of the training; what their options leave is used.
    """
    loader, dataset = loop.dataloader, loop.dataloader.dataset
    # Autocast would round what the tower says; a hook that draws needs pixels.
    is_drawn = any(isinstance(hook, VisualizationHook) and hook.enable for hook in runner.hooks)
    if not features.options.gib or getattr(loop, 'fp16', False) or is_drawn or not _is_plain(dataset, features.view):
        return
    own = copy.copy(features)
    own.dataset, own.loader = dataset, dict(batch_size=loader.batch_size, num_workers=loader.num_workers)
    shared = features.options.folder is not None
    images = np.arange(len(dataset)) if shared else np.unique(list(loader.sampler))
    keeper = own.keeper()
    work = keeper.plan(images, [PLAIN], max(features.gib_left, 0.0), shared=shared)
    if work.plan.is_all:
        loop.dataloader = KeptBatches(loader, keeper.keep(work))
    else:
        what = 'validation' if isinstance(loop, ValLoop) else 'test'
        print_log(f'Features of {len(images):,} {what} images do not fit: they are encoded in each {what}', 'current')


def _is_plain(dataset: object, view: View) -> bool:
    return isinstance(dataset, SemiMultiLabelDataset) and shows_view_alone(dataset.pipeline.transforms, view)
