"""The baseline that needs no method: a logistic regression per class on the frozen global features."""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from cssa_mm.apis.config import load_config
from cssa_mm.evaluation import average_precision_per_class, cf1_of1
from cssa_mm.features.encode import encode


def linear_probe(args: argparse.Namespace) -> dict[str, float]:
    """Fit on the labelled images of a config, test on its test images; prints and returns the metrics in per cent.

    A class without labelled positives or negatives gets its constant rate as score.
    """
    config = load_config(args.config, overrides=args.cfg_options, data_root=args.data_root)
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    train = DATASETS.build(config.train_dataloader.dataset)
    test = DATASETS.build(config.test_dataloader.dataset)
    plain = test.pipeline.transforms
    known = train.labels[train.labelled_indices]
    scores = probe_scores(
        global_features(model, train, train.labelled_indices, plain, 'Labelled images'),
        known,
        global_features(model, test, np.arange(len(test)), plain, 'Test images'),
        args.penalty,
    )
    per_class = average_precision_per_class(scores, test.labels)
    cf1, of1 = cf1_of1(scores, test.labels)
    metrics = {'mAP': 100 * float(np.nanmean(per_class)), 'CF1': 100 * cf1, 'OF1': 100 * of1}
    values = '  '.join(f'{name} {value:.2f}' for name, value in metrics.items())
    print(f'Linear probe, {len(known)} labelled images: {values}')
    return metrics


def global_features(
    model: torch.nn.Module, dataset: object, indices: np.ndarray, pipeline: list, description: str
) -> np.ndarray:
    """Unit global features (n, D) of some images."""
    batches = encode(model, dataset, indices, pipeline, description)
    return torch.cat([F.normalize(pooled, dim=-1).cpu() for _, pooled in batches]).numpy()


def probe_scores(features: np.ndarray, labels: np.ndarray, test_features: np.ndarray, penalty: float) -> np.ndarray:
    """Scores (m, C) of m test images from n labelled ones: features (n, D), labels (n, C) in 1, 0, -1."""
    scores = np.zeros((len(test_features), labels.shape[1]))
    for column, target in enumerate(labels.T):
        rows = target >= 0
        if len(np.unique(target[rows])) < 2:
            scores[:, column] = target[rows].mean() if rows.any() else 0.0
            continue
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', ConvergenceWarning)
            classifier = LogisticRegression(C=1 / penalty, max_iter=2000).fit(features[rows], target[rows])
        scores[:, column] = classifier.predict_proba(test_features)[:, 1]
    return scores
