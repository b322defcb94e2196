"""Rows of a GPU: steps, a training and a pass, against the tower alone, compiled and in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from mmpretrain.registry import DATASETS
from torch import Tensor

from cssa_mm.apis.config import load_config
from cssa_mm.apis.training import train
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.engine.compiling import compile_tower
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.reader import Reader
from cssa_mm.studies.benchmark.cached import ALONE
from cssa_mm.studies.benchmark.formulas import open_clip_of
from cssa_mm.studies.benchmark.measuring import Contest, Seconds
from cssa_mm.studies.benchmark.published import DualCoOp, normalised
from cssa_mm.studies.benchmark.setting import BENCHMARKED, Setting, draw_photos, random_images
from cssa_mm.studies.benchmark.steps import Step

PHOTOS, WORKERS = 1024, 8


def quick(setting: Setting, side: int) -> Setting:
    """The setting with the options of a GPU and images of this side."""
    options = {'model.backbone.precision': 'bf16', 'view.size': side}
    return replace(setting, overrides=dict(setting.overrides) | options)


def step(setting: Setting, side: int) -> Contest:
    """The semi-supervised step at a side; the limit is the tower alone on its images."""
    setting = quick(setting, side)
    loader = setting.config().train_dataloader
    ours = Step(setting, loader.batch_size, loader.sampler.labelled_per_batch)
    limit = bare_tower(ours.model, ours.images)
    compile_tower(ours.model, True)
    return Contest(ours.take, limit=limit)


def published_step(setting: Setting) -> Contest:
    """The supervised step on 64 images against DualCoOp's."""
    setting = quick(setting, 224)
    ours = Step(setting, 64, 64)
    published = DualCoOp(setting.model(), ours.images, ours.targets.labels)
    compile_tower(ours.model, True)
    return Contest(ours.take, published.step)


def busy(setting: Setting) -> Contest:
    """A step of a training from photos in files; the limit is the step with its images on the GPU."""
    setting = quick(setting, 224)
    names = setting.model().class_names
    draw_photos(setting.folder, PHOTOS, names, PHOTOS // 8)
    bare = Step(setting, 64, 8)
    compile_tower(bare.model, True)
    overrides = dict(BENCHMARKED) | dict(setting.overrides) | dict(ALONE) | {
        'model.class_names': names,
        'compile': True,
        'train_dataloader.batch_size': 64,
        'train_dataloader.num_workers': WORKERS,
        'train_cfg.semi_epochs': 2,
        'default_hooks.pseudo_labels.feature_cache.gib': 0,
    }  # fmt: skip

    def ours() -> Seconds:
        work = Path(setting.folder, 'run')
        done = train(config='cssa_table', data_root=setting.folder, overrides=overrides, work_dir=work, validate=False)
        return Seconds(float(np.median(done.runner.message_hub.log_scalars['train/time'].data[0])))

    return Contest(ours, limit=bare.take)


def scoring(setting: Setting) -> Contest:
    """Scores of photos in files, for pseudo-labels; the limit is the tower alone on images on the GPU."""
    setting = quick(setting, 224)
    model = setting.model().eval()
    draw_photos(setting.folder, PHOTOS, model.class_names, PHOTOS)
    config = load_config('cssa_table', data_root=setting.folder, overrides={'accept': 'all'})
    dataset = cast(SemiMultiLabelDataset, DATASETS.build(config.train_dataloader.dataset))
    features = FrozenFeatures(model, dataset, model_view(model), gib=0, batch_size=64, num_workers=WORKERS)
    images = random_images(64, 224, setting.device)
    limit = bare_tower(model, images)
    compile_tower(model, True)

    def ours() -> Tensor:
        return Reader(model, features).rows(model.score, np.arange(PHOTOS), 'Pseudo-labels')

    return Contest(ours, limit=limit, limit_scale=PHOTOS / len(images))


def bare_tower(model: CSSAClassifier, images: Tensor) -> Callable[[], Tensor]:
    """open_clip's image tower alone, compiled and in bfloat16, on images that are on the GPU."""
    encode = torch.compile(open_clip_of(model).encode_image)
    ready = normalised(model, images)

    @torch.no_grad()
    def call() -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            return encode(ready)

    return call
