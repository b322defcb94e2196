"""Predictions of a test with several labels an image, as `test --out` and mmengine's DumpResults write them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.logging import MMLogger

from cssa_mm.apis.testing import test
from cssa_mm.apis.toolbox.opening import leave_log
from cssa_mm.apis.toolbox.plain_pickle import read_plain_pickle
from cssa_mm.datasets.building import build_dataset
from cssa_mm.errors import CSSAError, DataError

READ = ('.pkl', '.pickle', '.json')


@dataclass(frozen=True)
class Predictions:
    """What a model said of n images, and what is true.

    Attributes:
        ids: their image ids, '' where the file does not tell.
        paths: their paths, '' where the file does not tell.
        scores: (n, C).
        predicted: bool (n, C), the labels that the model gave by its own thresholds.
        truth: (n, C) in 1, 0, -1 (unknown).
    """

    ids: list[str]
    paths: list[str]
    scores: np.ndarray
    predicted: np.ndarray
    truth: np.ndarray


def predict(config: str, checkpoint: str, overrides: Mapping[str, Any] | None) -> Predictions:
    """The predictions of a checkpoint on the test images of a config."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, 'predictions.pkl')
        test(config=config, checkpoint=checkpoint, overrides=overrides, work_dir=folder, out=out)
        leave_log(MMLogger.get_current_instance())
        return read(out)


def read(path: str) -> Predictions:
    """Read a file of predictions (.pkl or .json); nothing in it is run.

    Raises:
        DataError: it is missing, holds no predictions of several labels, or more than plain data.
    """
    if not Path(path).is_file():
        raise DataError(f"predictions: found no file '{path}', expected one that test --out FILE.pkl wrote")
    if Path(path).suffix not in READ:
        raise DataError(f"{path}: found the ending '{Path(path).suffix}', expected one of {', '.join(READ)}")
    try:
        samples = json.loads(Path(path).read_bytes()) if path.endswith('.json') else read_plain_pickle(path)
    except Exception as error:  # pickle and json raise anything
        raise DataError(
            f'{path}: found no predictions ({" ".join(str(error).split())}), expected those of test --out FILE.pkl'
        ) from error
    if not isinstance(samples, Sequence) or not samples or not all(isinstance(each, Mapping) for each in samples):
        raise DataError(
            f'{path}: found a {type(samples).__name__}, expected the predictions that test --out FILE.pkl wrote'
        )
    first: dict[str, Mapping] = {}
    for number, sample in enumerate(samples):
        missing = [name for name in ('pred_score', 'pred_label') if name not in sample]
        if missing or not {'gt_score', 'gt_label'} & sample.keys():
            raise DataError(
                f"{path}: found a sample without '{(missing or ['gt_score'])[0]}', expected predictions of several "
                'labels; write them with test --out FILE.pkl'
            )
        first.setdefault(str(sample.get('image_id', f' {number}')), sample)
    try:
        return _together(list(first.values()))
    except (ValueError, TypeError, LookupError, OverflowError, RuntimeError, AttributeError) as error:
        raise DataError(
            f'{path}: found samples whose scores or labels are no numbers, or of unequal length '
            f'({" ".join(str(error).split())[:200]}), expected those of test --out FILE.pkl'
        ) from error


def _together(samples: Sequence[Mapping]) -> Predictions:
    scores = np.stack([_array(each['pred_score']) for each in samples]).astype(np.float64)
    if scores.ndim != 2:
        raise ValueError(f'scores of shape {scores.shape}')
    size = scores.shape[1]
    return Predictions(
        [str(each.get('image_id', '')) for each in samples],
        [str(each.get('img_path', '')) for each in samples],
        scores,
        np.stack([_one_hot(each['pred_label'], size) for each in samples]).astype(bool),
        np.stack([_truth(each, size) for each in samples]).astype(np.int64),
    )


def class_names(settings: Config, count: int) -> list[str]:
    """The names of the classes of a config's test images, or their numbers where the data can't be read.

    Raises:
        DataError: the config has another number of classes.
    """
    try:
        names = list(build_dataset(settings.test_dataloader.dataset, 'test_dataloader.dataset').class_names)
    except CSSAError:
        names = []
    if names and len(names) != count:
        raise DataError(
            f'predictions: found scores of {count} classes, expected the {len(names)} of the config; give the '
            'config that they were predicted with'
        )
    return names or [f'class {number}' for number in range(count)]


def _truth(sample: Mapping, size: int) -> np.ndarray:
    return _array(sample['gt_score']) if 'gt_score' in sample else _one_hot(sample['gt_label'], size)


def _one_hot(indices: Any, size: int) -> np.ndarray:
    return np.isin(np.arange(size), _array(indices))


def _array(values: Any) -> np.ndarray:
    return values.float().cpu().numpy() if hasattr(values, 'cpu') else np.asarray(values)
