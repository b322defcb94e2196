"""Keep views of a data set: plan what fits, say so, encode what is missing, hand out the cache."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from mmengine.logging import print_log

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.view import View as PlainView
from cssa_mm.errors import DataError
from cssa_mm.features.building import build_in_memory, build_on_disk
from cssa_mm.features.cache import FeatureCache, Features
from cssa_mm.features.encode import encode
from cssa_mm.features.kept_views import MIRRORED, PLAIN, Part, Side, description_of, encode_part
from cssa_mm.features.options import CacheOptions
from cssa_mm.features.plan import Plan, Space, announcement, choose
from cssa_mm.features.store import FeatureStore, digest
from cssa_mm.files import code_digest, file_facts
from cssa_mm.models import CSSAClassifier

# The code that features depend on.
ENCODING = (
    'features/encode', 'features/view', 'features/kept_views', 'models/towers', 'models/clip_backbone',
    'models/preprocessor', 'datasets/transforms', 'datasets/view',
)  # fmt: skip
TRIAL = 32  # images by which the time is estimated, and less than 2 % of them


class Work(NamedTuple):
    """What will be kept, and what that takes.

    plan: which images, and where.
    sides: of each.
    shared: whether the ranks keep the same images and share the work.
    store: of the folder, if there is one.
    sample: features of one view.
    missing: views that have to be encoded.
    line: what is said before it starts.
    """

    plan: Plan
    sides: Sequence[Side]
    shared: bool
    store: FeatureStore | None
    sample: Features
    missing: int
    line: str


@dataclass
class Keeper:
    """Keeps views of the images of a data set, by a model and as the options say.

    Args:
        model: the model whose tower encodes.
        dataset: the images.
        view: the plain view.
        options: of the cache.
        loader: batch_size and num_workers.
    """

    model: CSSAClassifier
    dataset: SemiMultiLabelDataset
    view: PlainView
    options: CacheOptions
    loader: Mapping[str, Any]

    def plan(
        self, images: np.ndarray, sides: Sequence[Side], gib: float, *, partial: bool = True, shared: bool = True
    ) -> Work:
        """Find what fits; all ranks must call it.

        Args:
            images: indices (n,), the most useful first.
            sides: of each image.
            gib: memory that may be used, besides the folder.
            partial: whether a part of the images will do.
            shared: whether the ranks keep the same images and share the work.

        Raises:
            ConfigError: neither memory nor disk holds them.
        """
        sample, seconds = self._sample()
        view_bytes = sum(tensor.numel() for tensor in sample) * self.options.torch_dtype.itemsize
        store, missing = self._store(), None
        if store is not None:
            keys = [self.keys(images, side) for side in sides]
            own = sum(np.array([key not in store.places for key in names], int) for names in keys)
            missing = np.maximum.reduce(all_gather_object(own))  # for one plan of all ranks
        plan = choose(images, missing, len(sides), view_bytes, Space.of_ranks(gib, self.options.path), partial)
        count = len(sides) * len(plan.images)
        if missing is not None and plan.on_disk:
            count = int(missing[np.isin(images, plan.images)].sum())
        seconds = self._seconds_per_view(seconds, count) * count / (get_dist_info()[1] if shared else 1)
        where = str(self.options.path) if plan.on_disk else 'memory'
        line = announcement(plan, len(images), len(sides), view_bytes, count, seconds, where)
        return Work(plan, sides, shared, store, sample, count, line)

    def keep(self, work: Work, serves_training: bool = False) -> FeatureCache:
        """Encode what is missing; all ranks must call it.

        Args:
            work: of `plan`.
            serves_training: whether these are all views that training draws of these images.

        Raises:
            DataError: the disk is full.
        """
        plan, parts = work.plan, [Part(work.plan.images, side) for side in work.sides]
        serves_training &= plan.is_all
        if is_main_process():
            print_log(work.line, 'current')
        if plan.on_disk and work.store is not None:
            cache = self._on_disk(work.store, parts, serves_training, work.missing)
        else:
            local, pooled = build_in_memory(parts, self._encode, work.sample, self.options.torch_dtype, work.shared)
            views = [view for part in parts for view in part.views(self.dataset)]
            cache = FeatureCache(views, local, pooled, serves_training)
        if self.dataset.bad_images is not None and work.shared:
            self.dataset.bad_images.share()
        return cache

    def _on_disk(self, store: FeatureStore, parts: Sequence[Part], serves_training: bool, missing: int) -> FeatureCache:
        keys = [self.keys(part.indices, part.side) for part in parts]
        if missing:
            options = self.options.torch_dtype, self._reasons, self.loader['batch_size']
            build_on_disk(store, parts, keys, partial(self._encode, shows_progress=False), *options)
        views = [view for part in parts for view in part.views(self.dataset)]
        names = [name for each in keys for name in each]
        lost = sum(name not in store.places for name in names)
        if lost:
            raise DataError(
                f'{store.folder}: found {lost:,} views missing that were just written, expected all; does another '
                'program remove files there?'
            )
        if self.dataset.bad_images is not None:
            for view, name in zip(views, names, strict=True):
                if name in store.bad:
                    self.dataset.bad_images.reasons.setdefault(view[0], store.bad[name])
        places = {view: store.places[name] for view, name in zip(views, names, strict=True)}
        return FeatureCache.of_shards(places, store.shards, serves_training)

    def _encode(self, part: Part, shows_progress: bool = True) -> Iterator[Features]:
        return encode_part(self.model, self.dataset, self.view, part, shows_progress=shows_progress, **self.loader)

    def _sample(self) -> tuple[Features, float]:
        """Features of one image, and the seconds that it took."""
        started = time.perf_counter()
        return next(encode(self.model, self.dataset, [0], self.view, 'One image')), time.perf_counter() - started

    def _seconds_per_view(self, first: float, count: int) -> float:
        """Measured on a few images where many follow: the first one starts things up."""
        trial = min(TRIAL, count // 50, len(self.dataset), self.loader['batch_size'])
        if trial < 8:
            return first
        started = time.perf_counter()
        for _ in encode(self.model, self.dataset, np.arange(trial), self.view, 'Some images', batch_size=trial):
            pass
        return (time.perf_counter() - started) / trial

    def _reasons(self, part: Part) -> dict[int, str]:
        """Why images of a part are bad, by their position in it."""
        bad = self.dataset.bad_images
        ids = [self.dataset.image_ids[i] for i in part.indices]
        return {} if bad is None else {row: bad.reasons[name] for row, name in enumerate(ids) if name in bad.reasons}

    def _store(self) -> FeatureStore | None:
        if self.options.path is None:
            return None
        store = FeatureStore(self.options.path / self.tower_key())
        if self.dataset.bad_images is None:
            store.forget_bad()
        return store

    def tower_key(self) -> str:
        """A hash of all that features depend on beside the image."""
        tower, preprocessor = self.model.backbone, self.model.data_preprocessor
        return digest(
            [
                tower.identity,
                code_digest(ENCODING),
                [tower.dense, tower.global_token, tower.precision, self.model.head.bias.device.type],
                [getattr(preprocessor, name).flatten().tolist() for name in ('mean', 'std')],
                self.view.as_config(),
                self.options.dtype,
            ]
        )

    def keys(self, images: np.ndarray, side: Side) -> list[str]:
        """A hash of each image's id, file and side; of a strong view also of what draws it."""
        drawn = None if side in (PLAIN, MIRRORED) else digest(description_of(self.dataset.pipeline.transforms[:-1]))
        return [digest([self.dataset.image_ids[i], self._facts(i), *side, drawn]) for i in images]

    def _facts(self, index: int) -> str:
        path = self.dataset.img_paths[index]
        return file_facts(path) if self.dataset.is_local else path
