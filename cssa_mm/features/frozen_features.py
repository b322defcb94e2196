"""The features of a data set: encoded once as far as they can be kept, else on each request."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from mmengine.dataset import Compose
from mmpretrain.structures import DataSample
from torch import Tensor

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.view import View
from cssa_mm.features.cache import FeatureCache, Features
from cssa_mm.features.encode import encode, share_of_rank
from cssa_mm.features.keeping import Keeper
from cssa_mm.features.kept_items import KnownOrRead, KnownSample, view_of_sample, without_images
from cssa_mm.features.kept_views import MIRRORED, PLAIN, strong_side
from cssa_mm.features.options import CacheOptions
from cssa_mm.features.plan import GIB
from cssa_mm.features.view import draws_view_or_mirror
from cssa_mm.models import CSSAClassifier


class FrozenFeatures:
    """Features of the views of a data set's images.

    Args:
        model: the model whose tower encodes.
        dataset: the images.
        view: the plain view.
        gib, folder, dtype, partial, strong_views: see `CacheOptions`.
        batch_size: images encoded at a time.
        num_workers: workers of the loader.
    """

    def __init__(
        self,
        model: CSSAClassifier,
        dataset: SemiMultiLabelDataset,
        view: View,
        *,
        gib: float = 1.0,
        folder: str | os.PathLike | None = None,
        dtype: Literal['float32', 'float16'] = 'float32',
        partial: bool = True,
        strong_views: int = 0,
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        self.model = model
        self.dataset = dataset
        self.view = view
        self.options = CacheOptions(gib, folder, dtype, partial, strong_views)
        self.loader: dict[str, Any] = dict(batch_size=batch_size, num_workers=num_workers)
        self.cache: FeatureCache | None = None
        self.gib_left = self.options.gib  # memory that is not used yet

    def fill_for_training(self, is_scored: bool = True) -> None:
        """Keep what training needs again and again, as far as it fits; all ranks must call it.

        The plain views of the unlabelled images are scored before each epoch. If the training views are the plain view
        and its mirror image, and nothing else, both are kept for all images; with `strong_views`, the plain view and
        that many strong ones. Then training no longer reads an image or runs the tower, or does so for the images
        alone that do not fit: labelled ones, which are drawn more often, are kept first.

        Args:
            is_scored: whether unlabelled images will be scored.
        """
        strong_views = self.options.strong_views
        if draws_view_or_mirror(self.dataset.pipeline.transforms, self.view):
            sides, strong_views = [PLAIN, MIRRORED], 0
        else:
            sides = [PLAIN, *map(strong_side, range(strong_views))]
        serves_training = len(sides) > 1
        if not self.options.gib or not (serves_training or is_scored):
            return
        shared = serves_training or self.options.folder is not None
        images, keeper = self._images(serves_training, shared), self.keeper()
        work = keeper.plan(images, sides, self.options.gib, partial=self.options.partial, shared=shared)
        cache = keeper.keep(work, serves_training)
        self.cache = cache if len(cache) else None
        self.gib_left -= 0 if work.plan.on_disk else cache.nbytes / GIB
        if serves_training and len(cache):
            self._train_without_images(work.plan.images, work.plan.is_all, strong_views)

    def fill_from_folder(self) -> None:
        """Keep the plain view of every image in the folder, as far as it fits, if there is one; all ranks must call it.

        Scores that are asked for once are not worth the memory, but what other runs have encoded is.
        """
        if self.options.gib and self.options.folder is not None:
            keeper, images = self.keeper(), self._images(serves_training=False, shared=True)
            cache = keeper.keep(keeper.plan(images, [PLAIN], self.options.gib, partial=self.options.partial))
            self.cache = cache if len(cache) else None

    def fill(self) -> None:
        """Keep the plain view of every image; all ranks must call it.

        Raises:
            ConfigError: neither memory nor disk holds them.
        """
        keeper = self.keeper()
        self.cache = keeper.keep(keeper.plan(np.arange(len(self.dataset)), [PLAIN], float('inf'), partial=False))

    def batches(self, indices: Sequence[int] | np.ndarray, description: str) -> Iterator[Features]:
        """Local (b, N, D) and global (b, D) features of the plain view of some images, batch by batch, in order."""
        views = [(self.dataset.image_ids[i], False) for i in indices]
        is_kept = np.array([self.cache is not None and view in self.cache for view in views], dtype=bool)
        device, size = self.model.head.bias.device, self.loader['batch_size']
        if self.cache is not None and is_kept.all():
            return self.cache.batches(views, device, size)
        rest = encode(self.model, self.dataset, np.asarray(indices)[~is_kept], self.view, description, **self.loader)
        if self.cache is None or not is_kept.any():
            return rest
        return self._merged(self.cache, views, is_kept, rest)

    def held(self, indices: np.ndarray, description: str) -> Callable[[], Iterator[Features]]:
        """A function that yields the features of some images each time: from the cache, or encoded now and held."""
        views = [(self.dataset.image_ids[i], False) for i in indices]
        if self.cache is not None and self.cache.holds(views):
            return lambda: self.batches(indices, description)
        batches = [(local.cpu(), pooled.cpu()) for local, pooled in self.batches(indices, description)]
        return lambda: iter(batches)

    def of_batch(
        self, data_samples: Sequence[DataSample | KnownSample], inputs: Sequence[Tensor] = ()
    ) -> Features | None:
        """Features, on the CPU, of a training batch; None if it has to be encoded.

        Args:
            data_samples: of the batch.
            inputs: its images, where some of them are not kept.
        """
        cache = self.cache
        if cache is None or not (cache.serves_training or cache.training_ids):
            return None
        is_kept = [cache.serves_training or sample.image_id in cache.training_ids for sample in data_samples]
        kept = [view_of_sample(sample) for sample, known in zip(data_samples, is_kept, strict=True) if known]
        if len(kept) == len(is_kept):
            return cache.lookup(kept, torch.device('cpu'))
        if not kept:
            return None
        images = [image for image, known in zip(inputs, is_kept, strict=True) if not known]
        encoded = self.model.backbone(self.model.data_preprocessor(dict(inputs=images))['inputs'])
        found = cache.lookup(kept, torch.device('cpu'))
        return _interleaved(torch.tensor(is_kept), found, (encoded[0].cpu(), encoded[1].cpu()))

    def _images(self, serves_training: bool, shared: bool) -> np.ndarray:
        """Which images to keep, the most useful first."""
        labelled, unlabelled = self.dataset.labelled_indices, self.dataset.unlabelled_indices
        if serves_training:
            return np.concatenate([labelled, unlabelled])
        # Features in a folder serve all splits; otherwise each rank scores its own share.
        return np.concatenate([unlabelled, labelled]) if shared else unlabelled[share_of_rank(len(unlabelled))]

    def keeper(self) -> Keeper:
        """What keeps views of these images."""
        return Keeper(self.model, self.dataset, self.view, self.options, self.loader)

    def _train_without_images(self, images: np.ndarray, is_all: bool, strong_views: int) -> None:
        """Let the data set leave out the pixels of these images; its loader's workers start later."""
        pipeline = without_images(self.dataset.pipeline, strong_views)
        if not is_all and self.cache is not None:
            self.cache.training_ids = frozenset(self.dataset.image_ids[i] for i in images)
            pipeline = Compose([KnownOrRead(self.cache.training_ids, pipeline, self.dataset.pipeline)])
        self.dataset.pipeline = pipeline

    def _merged(
        self, cache: FeatureCache, views: Sequence, is_kept: np.ndarray, rest: Iterator[Features]
    ) -> Iterator[Features]:
        """Kept views, and the rest as it is encoded, in order."""
        device, size = self.model.head.bias.device, self.loader['batch_size']
        waiting: Features | None = None
        for start in range(0, len(views), size):
            here = torch.as_tensor(is_kept[start : start + size])
            need = int((~here).sum())
            while need and (waiting is None or len(waiting[0]) < need):
                new = next(rest)
                waiting = new if waiting is None else (torch.cat([waiting[0], new[0]]), torch.cat([waiting[1], new[1]]))
            known = [view for view, kept in zip(views[start : start + size], here, strict=True) if kept]
            if not need or waiting is None:
                yield cache.lookup(known, device)
                continue
            encoded, waiting = _cut(waiting, need)
            yield _interleaved(here, cache.lookup(known, device), encoded) if known else encoded


def _cut(features: Features, count: int) -> tuple[Features, Features]:
    return (features[0][:count], features[1][:count]), (features[0][count:], features[1][count:])


def _interleaved(is_kept: Tensor, kept: Features, others: Features) -> Features:
    """One batch of kept features and of others, in the order of the batch."""
    result = []
    for mine, theirs in zip(kept, others, strict=True):
        whole = mine.new_empty(len(is_kept), *mine.shape[1:])
        here = is_kept.to(whole.device)
        whole[here], whole[~here] = mine, theirs
        result.append(whole)
    return result[0], result[1]
