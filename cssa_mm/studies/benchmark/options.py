"""Rows of options of the tower, which are on by default only where they pay: half precision, compilation, layout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import load_config
from cssa_mm.engine.compiling import compile_tower
from cssa_mm.evaluation.metrics import mean_average_precision
from cssa_mm.features.encode import encode
from cssa_mm.features.view import view_of
from cssa_mm.models import CSSAClassifier
from cssa_mm.studies.benchmark.measuring import Contest
from cssa_mm.studies.benchmark.published import normalised
from cssa_mm.studies.benchmark.setting import Setting, random_images

Change = Callable[[CSSAClassifier], None]


def half_precision(setting: Setting) -> Contest:
    """The tower in bfloat16: `model.backbone.precision='bf16'`."""

    def change(model: CSSAClassifier) -> None:
        model.backbone.precision = 'bf16'

    return changed_tower(setting, change)


def compiled(setting: Setting) -> Contest:
    """The tower compiled: `compile=True`."""
    return changed_tower(setting, lambda model: compile_tower(model, True))


def channels_last(setting: Setting) -> Contest:
    """The tower with the channels of a pixel side by side in memory, which is the default on a CPU, or not."""

    def channels(last: bool) -> Change:
        return lambda model: setattr(model.backbone, 'channels_last', last)

    return changed_tower(setting, channels(True), channels(False))


def nothing(model: CSSAClassifier) -> None:
    """No change."""


def changed_tower(setting: Setting, change: Change, other: Change = nothing) -> Contest:
    """The tower with an option on images, against another; the difference is mAP in points, on the demo."""
    plain, changed = setting.model().eval(), setting.model().eval()
    change(changed)
    other(plain)
    images = random_images(setting.optioned, setting.side, setting.device)

    def tower(model: CSSAClassifier) -> Callable[[], object]:
        return lambda: model.backbone(normalised(model, images))

    def difference() -> float:
        maps = [zero_shot(setting, each) for each in (change, other)]
        return 100 * abs(maps[0] - maps[1])

    return Contest(tower(changed), tower(plain), difference=difference)


def zero_shot(setting: Setting, change: Change) -> float:
    """mAP in 0..1 of the untrained model of the demo, whose CLIP is trained, with an option."""
    config = load_config('cssa_demo', data_root=setting.demo_root)
    model = setting.model(config).eval()
    change(model)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    indices = np.arange(min(setting.scenes, len(dataset)))
    batches = encode(model, dataset, indices, view_of(config), 'Scenes')
    with torch.no_grad():
        scores = torch.cat([model.score(*batch, 'student').cpu() for batch in batches])
    return mean_average_precision(scores.numpy(), dataset.labels[indices])
