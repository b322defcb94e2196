"""Rows of size: many classes, and the fit of the evidence."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.evidence import EvidenceImages
from cssa_mm.studies.benchmark.formulas import feature_logits, read_once
from cssa_mm.studies.benchmark.measuring import Contest
from cssa_mm.studies.benchmark.random_features import RandomFeatures
from cssa_mm.studies.benchmark.setting import Setting, built, random_targets, samples_of
from cssa_mm.studies.benchmark.steps import optimiser_of, take_step

METHODS = ('cssa_coco_p05', 'cssa_plus_coco_p05')
# Positions and features are those of RN50 at 224. The text tower is small: its time and memory grow with the number of
# prompts, of which `prompts.chunk_size` encodes some at a time.
POSITIONS, EMBED_DIM, BATCH = 50, 1024, 64
TOWER = dict(
    embed_dim=EMBED_DIM,
    vision_cfg=dict(layers=[1, 1, 1, 1], width=16, head_width=64, image_size=64),
    text_cfg=dict(context_length=77, vocab_size=49408, width=32, heads=2, layers=1),
)


def many_classes(setting: Setting) -> Contest:
    """A step of both methods on cached features; the limit is that of fewer classes, times as many as there are."""
    few, many = setting.many_classes
    small = [CachedStep(setting, name, few) for name in METHODS]
    large = [CachedStep(setting, name, many) for name in METHODS]
    return Contest(
        lambda: take_all(large),
        limit=lambda: take_all(small),
        difference=lambda: max(step.difference() for step in small),
        limit_scale=many / few,
    )


def take_all(steps: Sequence[CachedStep]) -> None:
    """One step of each method."""
    for step in steps:
        step.take()


class CachedStep:
    """A training step of one method on cached features."""

    def __init__(self, setting: Setting, config: str, classes: int) -> None:
        self.model = wide_model(setting, config, classes)
        self.features = RandomFeatures(POSITIONS, EMBED_DIM).of_batch(BATCH)
        self.targets = random_targets(BATCH, BATCH // 16, classes)
        self.batch = dict(
            inputs=[torch.zeros(3, 2, 2, dtype=torch.uint8)] * BATCH, data_samples=samples_of(self.targets)
        )
        self.optimiser = optimiser_of(self.model)

    def take(self) -> None:
        """Losses, gradients, optimiser and teacher."""
        take_step(self.model, self.optimiser, self.batch | dict(features=self.features), self.targets)

    @torch.no_grad()
    def difference(self) -> float:
        """The largest difference between scores of the student and those of the formulas."""
        local, pooled = (part[:4] for part in self.features)
        own = self.model.logits(local, pooled, 'student')
        return float((torch.sigmoid(own) - torch.sigmoid(feature_logits(self.model, local))).abs().max())


def wide_model(setting: Setting, config: str, classes: int) -> CSSAClassifier:
    """The model of a config with a small tower whose features are as wide as those of RN50."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, 'small.json').write_text(json.dumps(TOWER), encoding='utf-8')
        backbone = dict(setting.config(config).model.backbone) | dict(
            model_name='small', pretrained=None, config_dir=folder
        )
        options: dict[str, Any] = dict(setting.config(config).model)
        names = [f'thing {number}' for number in range(classes)]
        return built(options | dict(backbone=backbone, class_names=names))


def evidence(setting: Setting) -> Contest:
    """The fit of the evidence to cached images; the limit pools the features of each image once for each class."""
    classes = 80
    model = wide_model(setting, METHODS[1], classes).eval()
    features = RandomFeatures(POSITIONS, EMBED_DIM)
    labels = random_targets(setting.fitted, setting.fitted, classes).labels.numpy().astype(np.int64)
    labelled = setting.fitted // 2
    labels[labelled:] = -1
    dataset = LabelledRows(labels, labelled)
    images = EvidenceImages(cast(FrozenFeatures, features), cast(SemiMultiLabelDataset, dataset), labelled, seed=0)
    text = F.normalize(torch.randn(classes, EMBED_DIM), dim=-1)

    @torch.no_grad()
    def limit() -> None:
        for local, _ in features.batches(np.arange(setting.fitted)):
            read_once(F.normalize(local, dim=-1), text, 5.0)

    return Contest(lambda: images.fit(model), None, limit)


class LabelledRows:
    """What the evidence asks of a data set: which of its images are labelled, and how."""

    bad_images = None

    def __init__(self, labels: np.ndarray, labelled: int) -> None:
        self.labels = labels
        self.labelled_indices = np.arange(labelled)
        self.unlabelled_indices = np.arange(labelled, len(labels))
