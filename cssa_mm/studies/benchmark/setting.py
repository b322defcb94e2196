"""What the rows measure on: a shipped config with random weights, and random images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from PIL import Image
from torch import Tensor, nn

from cssa_mm.apis.config import load_config
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.objective import Targets

CONFIG = 'cssa_coco_p05'
CLASSES = 'COCOMultiLabelDataset'  # its 80 names
BENCHMARKED = {'model.backbone.pretrained': None, 'model.class_names': CLASSES}


@dataclass(frozen=True)
class Setting:
    """The config behind the rows, and how much work they do; the tests make it small.

    Attributes:
        overrides: dotted key -> value: `view.size`, `model.backbone.model_name`, `train_dataloader.batch_size` and
            `.sampler.labelled_per_batch` decide the sizes of most rows.
        supervised_batch: images of a supervised step (C2).
        scored: cached images of a pass for pseudo-labels (C4).
        decoded: photos that the published pass (C4) reads; its time is multiplied.
        pairs: pairs of views (C5).
        evaluated: photos of an evaluation (C6).
        photos: photos of a training from cached features (C7); an eighth of them is labelled.
        epochs: its epochs.
        many_classes: the numbers of classes (C9), the larger of which should take that many times as long.
        fitted: images that the evidence is fitted to (C10).
        optioned: images of a tower with an option (M1-M3).
        scenes: of the demo, whose mAP tells what an option costs.
        device: where the rows run.
        folder: for the files of a row, such as its photos.
        against: a git revision of this repository, whose quickstart C11 compares with.
    """

    overrides: Mapping[str, object] = field(default_factory=dict)
    supervised_batch: int = 8
    scored: int = 2000
    decoded: int = 48
    pairs: int = 16
    evaluated: int = 64
    photos: int = 128
    epochs: int = 6
    many_classes: tuple[int, int] = (400, 9600)
    fitted: int = 4096
    optioned: int = 16
    scenes: int = 200
    device: str = 'cpu'
    folder: str = '.'
    against: str = ''

    def config(self, name: str = CONFIG, overrides: Mapping[str, object] | None = None, **options: Any) -> Config:
        """A shipped config with the overrides of the setting, then those given here."""
        return load_config(name, overrides=BENCHMARKED | dict(self.overrides) | dict(overrides or {}), **options)

    def model(self, config: Config | None = None) -> CSSAClassifier:
        """The model of a config with random weights, ready to train."""
        config = self.config() if config is None else config
        init_default_scope(config.default_scope)
        return built(config.model).to(self.device)

    @property
    def demo_root(self) -> Path:
        """The scenes of the demo: those of `data/icons`, or a place where its data set draws them."""
        place = Path('data', 'icons').absolute()
        return place if (place / 'meta.json').is_file() else Path(self.folder, 'scenes')

    @property
    def side(self) -> int:
        """Side of the images."""
        return int(self.config().view['size'])


def built(model: Mapping[str, Any]) -> CSSAClassifier:
    """The model of a config, ready to train, with contexts as training would have found them.

    open_clip's fresh ResNets multiply what each block adds by zero, so that they hardly look at the image: here by one.
    """
    torch.manual_seed(0)
    found: CSSAClassifier = MODELS.build(dict(model))
    if model['backbone'].get('pretrained') is None:
        for module in found.backbone.clip.visual.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
    if found.context_head is not None:
        found.context_head.assignment.copy_(torch.arange(len(found.class_names)) % found.context_head.num_contexts)
    return found.train()


def random_images(count: int, side: int, device: str = 'cpu') -> Tensor:
    """Images (count, 3, side, side), uint8."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=generator).to(device)


def random_targets(count: int, labelled: int, classes: int, device: str = 'cpu') -> Targets:
    """Targets of a batch whose first images are labelled, and the others pseudo-labelled, a fifth of them unknown."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(count, classes, generator=generator)
    labels = (draws < 0.05).float()
    labels[labelled:][draws[labelled:] > 0.8] = -1
    is_labelled = torch.arange(count) < labelled
    labels, is_labelled = labels.to(device), is_labelled.to(device)
    is_readable = torch.ones_like(is_labelled)
    return Targets(labels, torch.ones_like(labels), is_labelled, is_readable, is_semi_supervised=labelled < count)


def samples_of(targets: Targets) -> list[DataSample]:
    """The samples that a loader would give for these targets."""
    samples = []
    for index, (labels, is_labelled) in enumerate(zip(targets.labels, targets.is_labelled, strict=True)):
        sample = DataSample(metainfo=dict(image_id=str(index), is_labelled=bool(is_labelled), flip=False))
        samples.append(sample.set_gt_score(labels.clone()))
    return samples


def draw_photos(
    folder: str | os.PathLike, count: int, names: list[str], labelled: int, size: tuple[int, int] = (640, 480)
) -> list[str]:
    """Write JPEGs of this (width, height), and `labels.csv`, which labels some; returns their paths.

    The labelled ones together show every class.
    """
    generator = np.random.default_rng(0)
    images = Path(folder, 'images')
    images.mkdir(parents=True)
    lines, paths = ['image,labels'], []
    for index in range(count):
        rough = Image.fromarray(generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        grain = generator.normal(0, 8, (size[1], size[0], 3))
        pixels = np.clip(np.asarray(rough) + grain, 0, 255).astype(np.uint8)
        path = images / f'{index:05}.jpg'
        Image.fromarray(pixels).save(path, quality=90)
        paths.append(str(path))
        if index < labelled:
            shown = set(names[index::labelled]) | set(generator.choice(names, 2))
            lines.append(f'{path.name},{";".join(sorted(shown))}')
    Path(folder, 'labels.csv').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return paths
