"""The row of a training from cached features, at two numbers of classes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cssa_mm.apis.config import load_config
from cssa_mm.apis.training import train
from cssa_mm.studies.benchmark.measuring import Contest, Seconds
from cssa_mm.studies.benchmark.setting import BENCHMARKED, Setting, draw_photos, random_targets, samples_of
from cssa_mm.studies.benchmark.steps import optimiser_of, take_step, whole_step

CONFIG = 'cssa_table'
# One phase, no validation, no report, nothing kept but the features.
ALONE: Mapping[str, Any] = {
    'accept': 'all',
    'report': False,
    'train_cfg.warmup_epochs': 0,
    'default_hooks.calibration.folds': 0,
    'default_hooks.checkpoint': None,
    'default_hooks.pseudo_labels.evidence_images': 64,
    'log_level': 'WARNING',
}
NAMES = dict(c20='VOCMultiLabelDataset', c80='COCOMultiLabelDataset')


def cached_training(setting: Setting, classes: str) -> Contest:
    """Seconds for an image of a training from cached features; the baseline is one of C3, the limit the step alone.

    Args:
        setting: the sizes.
        classes: `c20` for the names of Pascal VOC, `c80` for those of COCO.
    """
    # In the order in which a table has them.
    names = sorted(setting.model(setting.config(overrides={'model.class_names': NAMES[classes]})).class_names)
    draw_photos(setting.folder, setting.photos, names, setting.photos // 8)
    overrides = dict(BENCHMARKED) | dict(setting.overrides) | dict(ALONE)
    overrides |= {
        'model.class_names': names,
        'train_dataloader.batch_size': 32,
        'train_dataloader.sampler.labelled_per_batch': 8,
        'train_cfg.semi_epochs': setting.epochs,
        'default_hooks.pseudo_labels.feature_cache.folder': str(Path(setting.folder, 'features')),
    }

    def ours() -> Seconds:
        result = train(
            config=CONFIG,
            data_root=setting.folder,
            overrides=overrides,
            work_dir=Path(setting.folder, 'run'),
            validate=False,
            device=setting.device,
        )
        times = result.runner.message_hub.log_scalars['train/time'].data[0]
        return Seconds(float(torch.as_tensor(times).median()) / 32)

    whole = whole_step(setting)
    bare = bare_step(setting, overrides)
    return Contest(ours, whole.take, bare, baseline_scale=1 / len(whole.images), limit_scale=1 / 32)


def bare_step(setting: Setting, overrides: Mapping[str, object]) -> partial[None]:
    """The mathematics of a step on cached features, without data, hooks and logs."""
    config = load_config(CONFIG, overrides=overrides, data_root=setting.folder)
    model = setting.model(config)
    targets = random_targets(32, 8, len(model.class_names), setting.device)
    with torch.no_grad():
        side = setting.side
        local, pooled = model.backbone(torch.zeros(1, 3, side, side, device=setting.device))
    features = torch.randn(32, *local.shape[1:]).to(local), torch.randn(32, pooled.shape[1]).to(pooled)
    batch = dict(
        inputs=[torch.zeros(3, 2, 2, dtype=torch.uint8)] * 32, data_samples=samples_of(targets), features=features
    )
    return partial(take_step, model, optimiser_of(model), batch, targets)
