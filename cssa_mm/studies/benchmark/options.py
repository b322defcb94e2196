"""Rows of options of the tower, which are on by default only where they pay: half precision, compilation, layout."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from cssa_mm.apis.config import load_config
from cssa_mm.demo.scenes import demo_scene
from cssa_mm.engine.compiling import compile_tower
from cssa_mm.evaluation.metrics import mean_average_precision
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
    """The tower with the channels of a pixel side by side in memory."""

    def change(model: CSSAClassifier) -> None:
        model.backbone.clip.visual.to(memory_format=torch.channels_last)

    return changed_tower(setting, change)


def changed_tower(setting: Setting, change: Change) -> Contest:
    """The tower with an option on images, against that without; the difference is mAP in points, on the demo."""
    plain, changed = setting.model().eval(), setting.model().eval()
    change(changed)
    images = random_images(setting.optioned, setting.side, setting.device)

    def encode(model: CSSAClassifier) -> Callable[[], object]:
        return lambda: model.backbone(normalised(model, images))

    def difference() -> float:
        scenes = [demo_scene('test', 0, index) for index in range(setting.scenes)]
        pixels = torch.stack([pil_to_tensor(scene.image) for scene in scenes]).to(setting.device)
        labels = np.zeros((len(scenes), 80), dtype=np.int64)
        for row, scene in zip(labels, scenes, strict=True):
            row[list(scene.classes)] = 1
        with_option, without = demo_model(setting, change), demo_model(setting, lambda model: None)
        return 100 * abs(zero_shot(with_option, pixels, labels) - zero_shot(without, pixels, labels))

    return Contest(encode(changed), encode(plain), difference=difference)


def demo_model(setting: Setting, change: Change) -> CSSAClassifier:
    """The untrained model of the demo, whose CLIP is trained, with an option."""
    model = setting.model(load_config('cssa_demo')).eval()
    change(model)
    return model


@torch.no_grad()
def zero_shot(model: CSSAClassifier, images: Tensor, labels: np.ndarray) -> float:
    """mAP in 0..1 of the untrained model on images with labels (M, 80), the classes of the model first."""
    logits = [model.logits(*model.backbone(normalised(model, part)), 'student') for part in images.split(50)]
    scores = torch.cat(logits).sigmoid().cpu().numpy()
    return mean_average_precision(scores, labels[:, : scores.shape[1]])
