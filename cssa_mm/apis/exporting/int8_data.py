"""Labelled images for int8: one half to fit to, the other to measure on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cssa_mm.apis.config import load_config
from cssa_mm.apis.image_input import viewed
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.building import build_dataset
from cssa_mm.datasets.discovery import discover, subsets_of
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.view import View
from cssa_mm.engine.config.data_parts import require_test_data
from cssa_mm.engine.questions import warn_of_questions
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.files import shipped_config
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.statistics import check_same_classes

FEWEST = 20  # labelled images
MOST_FITTED, MOST_MEASURED = 300, 2000  # images of the two halves; more change no figure, and take their time


@dataclass(frozen=True)
class LabelledImages:
    """Paths of n images with their labels int8 (n, C) in 1, 0, -1."""

    paths: Sequence[str]
    labels: np.ndarray

    def pixels(self, view: View) -> Iterator[np.ndarray]:
        """The view of each image as a batch of its own, uint8 (1, 3, H, W)."""
        for path in self.paths:
            yield viewed(path, view)[0].numpy()[None]

    @property
    def usable(self) -> np.ndarray:
        """Classes whose mAP means something: those with a positive and a negative, bool (C,)."""
        return (self.labels == 1).any(axis=0) & (self.labels == 0).any(axis=0)


def two_halves(
    source: str | os.PathLike, model: CSSAClassifier, data_root: str | os.PathLike | None = None
) -> tuple[LabelledImages, LabelledImages]:
    """The images to fit to and those to measure on: two halves of the labelled ones, drawn at random, always the same.

    Args:
        source: a label file; a folder with one, of which the part `test` counts, else `val`, else the only one; or a
            config whose test images count.
        model: the model, whose classes the labels must name.
        data_root: directory of the data of a config.

    Raises:
        DataError: the labels cannot be read, are of other classes, or too few.
        ConfigError: the config is broken or has no test images.
    """
    where = os.fspath(source)
    dataset = _of_config(where, model, data_root) if _is_config(where) else _of_table(where, model, data_root)
    rows = np.flatnonzero((dataset.labels != UNKNOWN).any(axis=1))
    if len(rows) < FEWEST:
        raise DataError(
            f'--calibration-data: found {len(rows)} labelled images in {where}, expected at least {FEWEST}, better '
            'hundreds; label more, or take the fp32 file'
        )
    rows = np.random.default_rng(0).permutation(rows)
    middle = len(rows) // 2
    fitted, measured = (
        LabelledImages([dataset.img_paths[row] for row in half], dataset.labels[half])
        for half in (rows[:middle][:MOST_FITTED], rows[middle:][:MOST_MEASURED])
    )
    for part in (fitted, measured):
        if not part.usable.any():
            raise DataError(
                f'--calibration-data: found no class with a positive and a negative among {len(part.paths)} images of '
                f'{where}, expected some: an mAP means nothing there; label more images'
            )
    return fitted, measured


def _is_config(source: str) -> bool:
    return Path(source).suffix == '.py' or (not Path(source).exists() and shipped_config(source) is not None)


def _of_config(source: str, model: CSSAClassifier, data_root: str | os.PathLike | None) -> SemiMultiLabelDataset:
    config = load_config(source, data_root=data_root)
    require_test_data(config)
    dataset = build_dataset(config.test_dataloader.dataset, f'{source}: test_dataloader.dataset')
    check_same_classes(model, dataset, f'--calibration-data {source}: test_dataloader.dataset')
    dataset.full_init()
    return dataset


def _of_table(source: str, model: CSSAClassifier, data_root: str | os.PathLike | None) -> SemiMultiLabelDataset:
    if data_root is not None:
        raise ConfigError(
            f"--data-root: found it with '{source}', which is no config, expected it with a config; leave it out"
        )
    if not os.path.exists(source):
        raise DataError(
            f"--calibration-data: found nothing at '{source}', expected a label file, a folder with one, or a config"
        )
    if os.path.isdir(source):
        root, parts = source, discover(source)
    else:
        root, file = os.path.split(os.path.abspath(source))
        subsets = {part: dict(ann_file=file, subset=name) for part, name in subsets_of(source).items()}
        parts = dict(train=dict(ann_file=file)) | subsets
    part = next(name for name in ('test', 'val', 'train') if name in parts)
    options = dict(type='TableDataset', data_root=root, class_names=model.class_names, test_mode=True)
    dataset = build_dataset(options | parts[part], '--calibration-data')
    dataset.full_init()
    warn_of_questions(dataset, source)
    return dataset
