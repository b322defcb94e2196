"""Data sets of a config, built without reading their files."""

from __future__ import annotations

from collections.abc import Mapping

from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.errors import ConfigError


def build_dataset(options: Mapping, where: str) -> SemiMultiLabelDataset:
    """The data set of a loader's ``dataset`` section, which has read nothing yet.

    Args:
        options: The section.
        where: Its key, for messages: 'train_dataloader.dataset'.

    Raises:
        ConfigError: It is no data set of this package.
    """
    init_default_scope('mmpretrain')
    dataset = DATASETS.build(dict(options, lazy_init=True))
    if not isinstance(dataset, SemiMultiLabelDataset):
        raise ConfigError(
            f'{where}: found a {type(dataset).__name__}, expected a data set of cssa_mm, whose labels a split can hide.'
        )
    return dataset
