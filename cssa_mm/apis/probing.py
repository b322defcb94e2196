"""The linear-probe baseline: a logistic regression per class on the frozen global features."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import load_config
from cssa_mm.apis.loading import untrained_model
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.view import View
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.engine.config.data_parts import require_test_data
from cssa_mm.engine.cross_fitted_probe import cross_fitted_probe
from cssa_mm.errors import ConfigError
from cssa_mm.evaluation import average_precision_per_class, cf1_of1
from cssa_mm.features.encode import encode, unit_pooled
from cssa_mm.features.view import view_of
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.statistics import check_same_classes


def linear_probe(
    *,
    config: str | os.PathLike | Config,
    penalty: float = 0.1,
    data_root: str | os.PathLike | None = None,
    overrides: Mapping[str, object] | None = None,
    tower: str | os.PathLike | None = None,
    device: str | None = None,
) -> dict[str, float]:
    """Fit a logistic regression per class on the labelled images of a config, and test it on its test images.

    Args:
        config: a config file, or a shipped config by its name.
        penalty: weight of the squared norm (1/C of scikit-learn).
        data_root: directory of the data.
        overrides: dotted key -> value, as `--cfg-options` takes them.
        tower: the tower in place of the config's: `NAME:TAG`, `NAME:PATH` (see `load_config`).
        device: 'cpu', 'cuda' or 'mps', for the features; by default the best one that this machine has.

    Returns:
        `mAP`, `CF1` and `OF1` in per cent, and `num_labelled`, the number of images fitted on.

    Raises:
        ConfigError: a key or component of the config is unknown, or `penalty` is not positive.
        DataError: images, annotations or class names are missing or don't fit.

    Examples:
        >>> from cssa_mm.apis.probing import linear_probe
        >>> linear_probe(config='cssa_demo')['num_labelled']  # doctest: +SKIP
        100
    """
    if penalty <= 0:
        raise ConfigError(f'--penalty: found {penalty}, expected a number above 0; give a larger one')
    settings = load_config(config, overrides=overrides, data_root=data_root, tower=tower)
    require_test_data(settings)
    model = untrained_model(settings, device=device)
    train = DATASETS.build(settings.train_dataloader.dataset)
    test = DATASETS.build(settings.test_dataloader.dataset)
    check_same_classes(model, train)
    check_same_classes(model, test, 'test_dataloader.dataset')
    view = view_of(settings)
    options = dict(settings.default_hooks.get('calibration') or dict(rule='none'))
    options.pop('type', None)
    labelled = global_features(model, train, train.labelled_indices, view, 'Labelled images')
    raw, found = cross_fitted_probe(
        train,
        labelled,
        labelled[:0],  # encoding all unlabelled images would cost more than the probe
        global_features(model, test, np.arange(len(test)), view, 'Test images'),
        penalty,
        CalibrationHook(**options),
    )
    per_class = average_precision_per_class(raw, test.labels)
    reached = found.thresholds.reached(found.calibration(torch.from_numpy(raw)).numpy())
    cf1, of1 = cf1_of1(reached, test.labels)
    num_labelled = len(train.labelled_indices)
    return dict(mAP=100 * float(np.nanmean(per_class)), CF1=100 * cf1, OF1=100 * of1, num_labelled=num_labelled)


def global_features(
    model: CSSAClassifier, dataset: SemiMultiLabelDataset, indices: np.ndarray, view: View, description: str
) -> np.ndarray:
    """Unit global features (n, D) of some images."""
    return unit_pooled(encode(model, dataset, indices, view, description))
