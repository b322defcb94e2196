"""Before training: encode once what the frozen tower would otherwise encode every epoch."""

from __future__ import annotations

import numpy as np
import torch
from mmcv.transforms import RandomFlip
from mmengine.dataset import Compose
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpretrain.datasets.transforms import PackInputs
from mmpretrain.registry import HOOKS

from cssa_mm.engine.scoring import encode, plain_view, scoring_share
from cssa_mm.models.feature_cache import FeatureCache, View


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
    """

    priority = 'HIGH'

    def __init__(self, gib: float = 1.0, batch_size: int = 64, num_workers: int = 1) -> None:
        self.gib = gib
        self.batch_size = batch_size
        self.num_workers = num_workers

    def before_train(self, runner: Runner) -> None:
        """Fill `model.feature_cache`, or leave it empty where the features don't fit."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        dataset = runner.train_dataloader.dataset
        plain = plain_view(runner)
        mirrored = mirrored_view(runner.cfg)
        everything = np.arange(len(dataset))
        share = dataset.unlabelled_indices[scoring_share(dataset)]
        sample = next(encode(model, dataset, everything[:1], plain, 'One image'))
        gib_per_view = sum(tensor.nbytes for tensor in sample) / 2**30
        if mirrored is not None and 2 * len(everything) * gib_per_view <= self.gib:
            parts = [(everything, plain, False), (everything, mirrored, True)]
        elif 0 < len(share) * gib_per_view <= self.gib and getattr(runner.train_loop, 'semi_epochs', 1):
            parts = [(share, plain, False)]
        else:
            return
        serves_training = len(parts) == 2
        model.feature_cache = self._fill(model, dataset, parts, serves_training)
        if serves_training:
            # The loaders' workers start later: from now on they draw the flip and read no image.
            dataset.pipeline = without_images(dataset.pipeline)
        print_log(
            f'Features of {len(model.feature_cache)} views are kept in memory (rank {get_dist_info()[0]}).', 'current'
        )

    def _fill(self, model: torch.nn.Module, dataset: object, parts: list, serves_training: bool) -> FeatureCache:
        views: list[View] = []
        features = []
        for indices, pipeline, is_mirrored in parts:
            views += [(dataset.image_ids[i], is_mirrored) for i in indices]
            description = 'Encoding mirrored views' if is_mirrored else 'Encoding plain views'
            batches = encode(model, dataset, indices, pipeline, description, self.batch_size, self.num_workers)
            features += [(local.cpu(), pooled.cpu()) for local, pooled in batches]
        local, pooled = (torch.cat(tensors) for tensors in zip(*features, strict=True))
        return FeatureCache(views, local, pooled, serves_training)


def without_images(pipeline: Compose) -> Compose:
    """The flip and the packing of a training pipeline, on a placeholder; both draw the same random numbers."""
    return Compose([_placeholder, *(step for step in pipeline.transforms if isinstance(step, RandomFlip | PackInputs))])


def _placeholder(results: dict) -> dict:
    # 2 x 2: a mirrored single pixel counts as contiguous, and torch refuses its negative stride.
    return results | dict(img=np.zeros((2, 2, 3), np.uint8), img_shape=(2, 2), ori_shape=(2, 2))


def mirrored_view(config: dict) -> list[dict] | None:
    """The training pipeline with its flip made certain, if without the flip it is the plain view; else None."""
    held_out = config.get('val_dataloader') or config['test_dataloader']
    pipeline = [dict(step) for step in config['train_dataloader']['dataset']['pipeline']]
    plain = [dict(step) for step in held_out['dataset']['pipeline']]
    flips = [step for step in pipeline if step['type'] == 'RandomFlip']
    rest = [step for step in pipeline if step['type'] != 'RandomFlip']
    if rest != plain or len(flips) != 1 or flips[0].get('direction', 'horizontal') != 'horizontal':
        return None
    if 'flip' not in rest[-1].get('meta_keys', ('flip',)):
        return None  # nothing would say which of the two a training image is
    return [step | dict(prob=1.0) if step['type'] == 'RandomFlip' else step for step in pipeline]
