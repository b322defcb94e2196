"""Before training: encode once what the frozen tower would otherwise encode every epoch."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmcv.transforms import RandomFlip
from mmengine.dataset import Compose
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.datasets.transforms import PackInputs
from mmpretrain.registry import HOOKS

from cssa_mm.errors import ConfigError
from cssa_mm.features.cache import FeatureCache, View
from cssa_mm.features.encode import bare_model, encode, scoring_share


class Part(NamedTuple):
    """Images of a data set, the transforms that lead to one view of each, and whether it is the mirrored one."""

    indices: np.ndarray
    pipeline: list[dict]
    is_mirrored: bool


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Keeps features of the training images in memory, where they fit.

    The plain view of the unlabelled images serves the pseudo-labels. Where the training views are the plain view
    and its mirror image, and nothing else, both are kept for all training images, and training no longer reads an
    image or runs the tower.

    Args:
        gib: memory for the features on each rank; 0 switches the cache off.
        batch_size: images encoded at a time.
        num_workers: of the loader.
        folder: where features are kept for other runs, too, whatever their split; None keeps them for this run. They
            are found again by tower, view and images (id, size and time of change).
    """

    priority = 'HIGH'

    def __init__(self, gib: float = 1.0, batch_size: int = 64, num_workers: int = 1, folder: str | None = None) -> None:
        self.gib = gib
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.folder = folder

    def before_train(self, runner: Runner) -> None:
        """Fill `model.feature_cache`, or leave it empty where the features don't fit."""
        model = bare_model(runner)
        dataset = runner.train_dataloader.dataset
        is_scored = bool(getattr(runner.train_loop, 'semi_epochs', 1))
        model.feature_cache = cache = self.training_features(model, dataset, runner.cfg, is_scored)
        if cache is None:
            return
        if cache.serves_training:
            # The loaders' workers start later: from now on they draw the flip and read no image.
            dataset.pipeline = without_images(dataset.pipeline)
        print_log(f'Features of {len(cache)} views are kept in memory (rank {get_dist_info()[0]}).', 'current')

    def training_features(
        self, model: torch.nn.Module, dataset: object, config: Mapping, is_scored: bool = True
    ) -> FeatureCache | None:
        """The features that a training with this config can use; None where they don't fit, or nothing is scored.

        Raises:
            ConfigError: the config has no validation and no test data, whose view is the plain one.
        """
        plain, mirrored = plain_pipeline(config), mirrored_view(config)
        everything = np.arange(len(dataset))
        # Where they are kept, they serve all splits.
        scored = everything if self.folder else dataset.unlabelled_indices[scoring_share(dataset)]
        sample = next(encode(model, dataset, everything[:1], plain, 'One image'))
        gib_per_view = sum(tensor.nbytes for tensor in sample) / 2**30
        if mirrored is not None and 2 * len(everything) * gib_per_view <= self.gib:
            return self.features(model, dataset, [Part(everything, plain, False), Part(everything, mirrored, True)])
        if is_scored and 0 < len(scored) * gib_per_view <= self.gib:
            return self.features(model, dataset, [Part(scored, plain, False)])
        return None

    def features(self, model: torch.nn.Module, dataset: object, parts: Sequence[Part]) -> FeatureCache:
        """The features of some views of a data set, from the folder where they are there, else encoded."""
        path = Path(self.folder, f'{_fingerprint(model, dataset, parts)}.pt') if self.folder else None
        if path is not None and path.is_file():
            cache = FeatureCache.load(path)
            if dataset.bad_images is not None:
                dataset.bad_images.reasons |= cache.bad_images
            return cache
        views: list[View] = []
        features = []
        for indices, pipeline, is_mirrored in parts:
            views += [(dataset.image_ids[i], is_mirrored) for i in indices]
            description = 'Encoding mirrored views' if is_mirrored else 'Encoding plain views'
            batches = encode(model, dataset, indices, pipeline, description, self.batch_size, self.num_workers)
            features += [(local.cpu(), pooled.cpu()) for local, pooled in batches]
        local, pooled = (torch.cat(tensors) for tensors in zip(*features, strict=True))
        bad_images = {} if dataset.bad_images is None else dataset.bad_images.reasons
        cache = FeatureCache(views, local, pooled, serves_training=len(parts) == 2, bad_images=bad_images)
        if path is not None:
            cache.save(path)
        return cache


def _fingerprint(model: torch.nn.Module, dataset: object, parts: Sequence[Part]) -> str:
    """A hash of all that frozen features depend on."""
    tower, preprocessor = model.backbone, model.data_preprocessor
    facts = [
        tower.identity,
        [tower.dense, tower.global_token, tower.precision, model.head.bias.device.type],
        [getattr(preprocessor, name).flatten().tolist() for name in ('mean', 'std')],
        [(pipeline, is_mirrored) for _, pipeline, is_mirrored in parts],
        [[(dataset.image_ids[i], *_file_facts(dataset, i)) for i in indices] for indices, *_ in parts],
    ]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:24]


def _file_facts(dataset: object, index: int) -> tuple:
    path = dataset.img_paths[index]
    if not dataset.is_local:
        return (path,)
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def without_images(pipeline: Compose) -> Compose:
    """The flip and the packing of a training pipeline, on a placeholder; both draw the same random numbers."""
    return Compose([_placeholder, *(step for step in pipeline.transforms if isinstance(step, RandomFlip | PackInputs))])


def _placeholder(results: dict) -> dict:
    # 2 x 2: a mirrored single pixel counts as contiguous, and torch refuses its negative stride.
    return results | dict(img=np.zeros((2, 2, 3), np.uint8), img_shape=(2, 2), ori_shape=(2, 2))


def plain_pipeline(config: Mapping) -> list[dict]:
    """The transforms of the validation or test data.

    Raises:
        ConfigError: there is neither.
    """
    held_out = config.get('val_dataloader') or config.get('test_dataloader')
    if held_out is None:
        raise ConfigError(
            'default_hooks.feature_cache: found no val_dataloader and no test_dataloader, expected one of them, whose '
            'view is the plain one; give either'
        )
    return [dict(step) for step in held_out['dataset']['pipeline']]


def mirrored_view(config: Mapping) -> list[dict] | None:
    """The training pipeline with its flip made certain, if without the flip it is the plain view; else None."""
    pipeline = [dict(step) for step in config['train_dataloader']['dataset']['pipeline']]
    flips = [step for step in pipeline if step['type'] == 'RandomFlip']
    rest = [step for step in pipeline if step['type'] != 'RandomFlip']
    if rest != plain_pipeline(config) or len(flips) != 1 or flips[0].get('direction', 'horizontal') != 'horizontal':
        return None
    if 'flip' not in rest[-1].get('meta_keys', ('flip',)):
        return None  # nothing would say which of the two a training image is
    return [step | dict(prob=1.0) if step['type'] == 'RandomFlip' else step for step in pipeline]
