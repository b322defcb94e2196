"""The features of a data set: encoded once if they fit into memory, else on each request."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.transforms import RandomFlip
from mmengine.dataset import Compose
from mmengine.dist import all_gather_object, barrier, get_dist_info, is_main_process
from mmengine.logging import print_log
from mmpretrain.datasets.transforms import PackInputs
from mmpretrain.structures import DataSample
from torch import Tensor

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.view import View
from cssa_mm.features.cache import FeatureCache
from cssa_mm.features.encode import Features, encode, gather_rows, share_of_rank
from cssa_mm.features.view import draws_view_or_mirror
from cssa_mm.files import code_digest, file_facts
from cssa_mm.models import CSSAClassifier

# The code that features depend on.
ENCODING = (
    'features', 'models/towers', 'models/clip_backbone', 'models/preprocessor', 'datasets/transforms', 'datasets/view',
)  # fmt: skip


class Part(NamedTuple):
    """Images of a data set, and whether they are mirrored."""

    indices: np.ndarray
    mirrored: bool


class FrozenFeatures:
    """Features of the plain view of a data set's images.

    Args:
        model: the model whose tower encodes.
        dataset: the images.
        view: the plain view.
        gib: memory for kept features on each rank; 0 keeps none.
        folder: folder of features that runs share, whatever their split; None keeps them for this run. A file is named
            by a hash of the tower, the code, the view and the images (id, size and time of change).
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
        batch_size: int = 64,
        num_workers: int = 0,
    ) -> None:
        self.model = model
        self.dataset = dataset
        self.view = view
        self.gib = gib
        self.folder = None if folder is None else Path(folder)
        self.loader: dict[str, Any] = dict(batch_size=batch_size, num_workers=num_workers)
        self.cache: FeatureCache | None = None

    def fill_for_training(self, is_scored: bool = True) -> None:
        """Keep the features that training would encode every epoch, if they fit; all ranks must call it.

        The plain view of the unlabelled images serves the pseudo-labels. Where the training views are the plain view
        and its mirror image, and nothing else, both are kept for all images, and training no longer reads an image or
        runs the tower.

        Args:
            is_scored: whether unlabelled images will be scored.
        """
        everything = np.arange(len(self.dataset))
        unlabelled = self.dataset.unlabelled_indices
        # Features in a folder serve all splits; otherwise each rank scores its own share.
        scored = everything if self.folder else unlabelled[share_of_rank(len(unlabelled))]
        sample = next(encode(self.model, self.dataset, everything[:1], self.view, 'One image'))
        gib_per_view = sum(tensor.nbytes for tensor in sample) / 2**30
        serves_training = draws_view_or_mirror(self.dataset.pipeline.transforms, self.view)
        if serves_training and 2 * len(everything) * gib_per_view <= self.gib:
            self.cache = self._kept([Part(everything, False), Part(everything, True)], shared=True)
            # The loaders' workers start later: from now on they draw the flip and read no image.
            self.dataset.pipeline = without_images(self.dataset.pipeline)
        elif is_scored and 0 < len(scored) * gib_per_view <= self.gib:
            self.cache = self._kept([Part(scored, False)], shared=self.folder is not None)
        if self.cache is not None:
            print_log(f'Features of {len(self.cache)} views are kept in memory (rank {get_dist_info()[0]}).', 'current')

    def fill(self) -> None:
        """Keep the plain view of every image; all ranks must call it."""
        self.cache = self._kept([Part(np.arange(len(self.dataset)), False)], shared=True)

    def batches(self, indices: Sequence[int] | np.ndarray, description: str) -> Iterator[Features]:
        """Local (b, N, D) and global (b, D) features of the plain view of some images, batch by batch, in order."""
        views = [(self.dataset.image_ids[i], False) for i in indices]
        if self.cache is not None and self.cache.holds(views):
            return self.cache.batches(views, self.model.head.bias.device, self.loader['batch_size'])
        return encode(self.model, self.dataset, indices, self.view, description, **self.loader)

    def held(self, indices: np.ndarray, description: str) -> Callable[[], Iterator[Features]]:
        """A function that yields the features of some images each time: from the cache, or encoded now and held."""
        views = [(self.dataset.image_ids[i], False) for i in indices]
        if self.cache is not None and self.cache.holds(views):
            return lambda: self.batches(indices, description)
        batches = [(local.cpu(), pooled.cpu()) for local, pooled in self.batches(indices, description)]
        return lambda: iter(batches)

    def of_batch(self, data_samples: Sequence[DataSample]) -> Features | None:
        """Features, on the CPU, of a training batch; None if it has to be encoded."""
        if self.cache is None or not self.cache.serves_training:
            return None
        views = [(sample.image_id, bool(sample.flip)) for sample in data_samples]
        return self.cache.lookup(views, torch.device('cpu'))

    def _kept(self, parts: Sequence[Part], shared: bool) -> FeatureCache:
        """The features of some views, from the folder if it has them, else encoded."""
        path = self.folder / f'{self._fingerprint(parts)}.pt' if self.folder else None
        bad_images = self.dataset.bad_images
        # The ranks must agree: a folder may belong to one machine alone, and a rank that encodes waits for all others.
        if path is not None and all(all_gather_object(path.is_file())):
            cache = FeatureCache.load(path)
            if bad_images is not None:
                bad_images.reasons |= cache.bad_images
            return cache
        views = [(self.dataset.image_ids[i], part.mirrored) for part in parts for i in part.indices]
        local, pooled = (torch.cat(t) for t in zip(*(self._encoded(part, shared) for part in parts), strict=True))
        if bad_images is not None and shared:
            bad_images.share()
        reasons = {} if bad_images is None else bad_images.reasons
        cache = FeatureCache(views, local, pooled, serves_training=len(parts) == 2, bad_images=reasons)
        if path is not None:
            if is_main_process():
                cache.save(path)
            barrier()
        return cache

    def _encoded(self, part: Part, shared: bool) -> tuple[Tensor, Tensor]:
        """Features (n, N, D) and (n, D) of one part; if they are shared, each rank encodes its share for all."""
        rows = share_of_rank(len(part.indices)) if shared else np.arange(len(part.indices))
        description = 'Encoding mirrored views' if part.mirrored else 'Encoding plain views'
        # A rank without a share encodes one image to know the shapes.
        indices = part.indices[rows] if len(rows) else part.indices[:1]
        batches = encode(
            self.model, self.dataset, indices, self.view, description, mirrored=part.mirrored, **self.loader
        )
        pairs = ((local.cpu(), pooled.cpu()) for local, pooled in batches)
        local, pooled = (torch.cat(tensors)[: len(rows)] for tensors in zip(*pairs, strict=True))
        if not shared or get_dist_info()[1] == 1:
            return local, pooled
        return gather_rows(local, rows, len(part.indices)), gather_rows(pooled, rows, len(part.indices))

    def _fingerprint(self, parts: Sequence[Part]) -> str:
        """A hash of all that frozen features depend on."""
        tower, preprocessor = self.model.backbone, self.model.data_preprocessor
        facts = [
            tower.identity,
            code_digest(ENCODING),
            [tower.dense, tower.global_token, tower.precision, self.model.head.bias.device.type],
            [getattr(preprocessor, name).flatten().tolist() for name in ('mean', 'std')],
            self.view.as_config(),
            [part.mirrored for part in parts],
            [[(self.dataset.image_ids[i], self._facts(i)) for i in part.indices] for part in parts],
        ]
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:24]

    def _facts(self, index: int) -> str:
        path = self.dataset.img_paths[index]
        return file_facts(path) if self.dataset.is_local else path


def without_images(pipeline: Compose) -> Compose:
    """The flip and the packing of a training pipeline, on a placeholder; they draw the same random numbers."""
    return Compose([_placeholder, *(step for step in pipeline.transforms if isinstance(step, RandomFlip | PackInputs))])


def _placeholder(results: dict) -> dict:
    # 2 x 2: a mirrored single pixel counts as contiguous, and torch refuses its negative stride.
    return results | dict(img=np.zeros((2, 2, 3), np.uint8), img_shape=(2, 2), ori_shape=(2, 2))
