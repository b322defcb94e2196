"""Rows that score images: the pass for pseudo-labels, an evaluation."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.policies import build_policy, label_rows
from cssa_mm.semi.reader import Reader
from cssa_mm.studies.benchmark.formulas import feature_logits, formula_logits, prompts_of
from cssa_mm.studies.benchmark.measuring import Contest
from cssa_mm.studies.benchmark.published import published_network, published_scores
from cssa_mm.studies.benchmark.random_features import RandomFeatures
from cssa_mm.studies.benchmark.setting import Setting, draw_photos
from cssa_mm.studies.benchmark.steps import bare_images


def pseudo_labels(setting: Setting) -> Contest:
    """Scores and pseudo-labels of cached images; the limit reads each feature once, and encodes the text."""
    model = setting.model().eval()
    layout = model.backbone(torch.zeros(1, 3, setting.side, setting.side))[0].shape
    features = RandomFeatures(*layout[1:])
    indices = np.arange(setting.scored)
    rates = torch.full((len(model.class_names),), 0.03)
    policy = build_policy('cat')
    paths = draw_photos(setting.folder, setting.decoded, model.class_names, setting.decoded)
    network = published_network(len(model.class_names))

    def ours() -> Tensor:
        model.unfold()
        reader = Reader(model, cast(FrozenFeatures, features))
        scores = reader.rows(model.score, indices, 'Pseudo-labels')
        label_rows(policy, scores, rates, torch.ones(len(scores), dtype=torch.bool))
        return scores

    def published() -> None:
        scores = published_scores(network, paths, setting.side)
        label_rows(policy, scores, rates, torch.ones(len(scores), dtype=torch.bool))

    @torch.no_grad()
    def limit() -> None:
        texts = [F.normalize(prompts(model.text_encoder), dim=-1) for prompts in prompts_of(model).values()]
        for local, _ in features.batches(indices):
            F.normalize(local, dim=-1) @ texts[0].T

    def difference() -> float:
        count = min(8, setting.scored)
        local, _ = features.of_batch(count)
        return float((ours()[:count] - torch.sigmoid(feature_logits(model, local))).abs().max())

    scale = setting.scored / setting.decoded
    return Contest(ours, published, limit, difference, baseline_scale=scale)


def evaluation(setting: Setting) -> Contest:
    """A test of photos in files, metrics included; the limit decodes and encodes them alone."""
    model = setting.model().eval()
    loader = photo_loader(setting, model)
    tester: Any = model  # mmengine's
    config = setting.config()

    @torch.no_grad()
    def ours() -> dict[str, float]:
        evaluator = Evaluator(config.test_evaluator)
        evaluator.dataset_meta = dict(classes=model.class_names)
        for batch in loader:
            evaluator.process(data_samples=tester.test_step(batch), data_batch=batch)
        return evaluator.evaluate(len(loader.dataset))  # type: ignore[arg-type]

    def limit() -> None:
        for batch in loader:
            bare_images(model, torch.stack(batch['inputs']))

    @torch.no_grad()
    def difference() -> float:
        batch = next(iter(loader))
        found = torch.stack([sample.pred_score for sample in tester.test_step(batch)])
        images = tester.data_preprocessor(batch)['inputs']
        return float((found - torch.sigmoid(formula_logits(model, images))).abs().max())

    return Contest(ours, None, limit, difference)


def photo_loader(setting: Setting, model: CSSAClassifier) -> DataLoader:
    """A test loader of labelled photos, which are drawn now."""
    draw_photos(setting.folder, setting.evaluated, model.class_names, setting.evaluated)
    config = setting.config()
    pipeline = config.test_dataloader.dataset.pipeline
    dataset = dict(type='TableDataset', data_root=setting.folder, ann_file='labels.csv', class_names=model.class_names)
    options = dict(num_workers=0, persistent_workers=False, dataset=dict(dataset, pipeline=pipeline, test_mode=True))
    return Runner.build_dataloader(dict(config.test_dataloader) | options)
