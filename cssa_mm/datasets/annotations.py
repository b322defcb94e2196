"""The images and labels of a config's data set from its annotation files alone, whether the images are there or not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.checks import refuse_doubled_ids
from cssa_mm.datasets.class_index import ClassIndex
from cssa_mm.errors import ConfigError


class Annotations(NamedTuple):
    """n images of C classes: the data set with nothing read yet, ids, paths and labels int8 (n, C)."""

    dataset: SemiMultiLabelDataset
    image_ids: list[str]
    img_paths: list[str]
    labels: np.ndarray


def read_annotations(options: ConfigDict, where: str) -> Annotations:
    """Read what the ``dataset`` section of a loader names, called ``where`` in messages.

    Raises:
        ConfigError: It is no data set of this package.
        DataError: Annotations or class names are missing or don't fit.
    """
    init_default_scope('mmpretrain')
    dataset = DATASETS.build(dict(options, lazy_init=True))
    if not isinstance(dataset, SemiMultiLabelDataset):
        raise ConfigError(
            f'{where}: found a {type(dataset).__name__}, expected a data set of cssa_mm, whose labels a split can hide'
        )
    if not dataset.class_names:
        raise ConfigError(f'{where}.class_names: found none, expected a list, or a file with one a line')
    dataset.class_index = ClassIndex(dataset.class_names)
    records = dataset.read_records()
    image_ids = [record.image_id for record in records]
    refuse_doubled_ids(image_ids, dataset.in_root(dataset.ann_file))
    labels = np.stack([record.labels for record in records]).astype(np.int8, copy=False)
    return Annotations(dataset, image_ids, [record.img_path for record in records], labels)
