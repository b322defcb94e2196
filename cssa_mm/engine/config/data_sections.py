"""The `dataset` sections of a config's loaders: what they may say, and what becomes of one without images."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from cssa_mm.datasets import SemiMultiLabelDataset, TableDataset
from cssa_mm.datasets.toolbox.own_sets import class_of

PARTS = ('val', 'test')
# What no class list depends on.
NO_CLASSES = {
    'pipeline', 'test_mode', 'split', 'part', 'validation', 'wrong_labels', 'include_unlisted', 'held_out', 'lazy_init',
    'fold', 'oversample',
}  # fmt: skip
# What each part says of itself: its images, and how it is used.
OWN = NO_CLASSES | {'ann_file', 'img_dir', 'image_set', 'subset'}


def dataset_of(config: Config, part: str) -> Any:
    """The section of 'train', 'val' or 'test'; None where there is none."""
    return (config.get(f'{part}_dataloader') or {}).get('dataset')


def own_classes(kind: type) -> Sequence[type]:
    """The class of a data set of ours and its bases, down to the base of all."""
    return kind.__mro__[: kind.__mro__.index(SemiMultiLabelDataset) + 1]


def defaults_of(kind: type) -> dict[str, Any]:
    """The options of a data set of ours with their default values."""
    return {key: each.default for one in own_classes(kind) for key, each in inspect.signature(one).parameters.items()}


def keywords_of(kind: type) -> set[str]:
    """The options of a data set of ours."""
    return set(defaults_of(kind)) - {'base_options'}


def is_table(options: Mapping) -> bool:
    """Whether a data set, also one of the user's own, reads label files that are found by their content."""
    kind = class_of(options)
    return isinstance(kind, type) and issubclass(kind, TableDataset)


def drop_part(config: Config, part: str, roots: str, is_told: bool = True) -> None:
    """Take the loader, loop and metrics of a part without label files out of a config, and say it of a validation."""
    for name in ('dataloader', 'cfg', 'evaluator'):
        config[f'{part}_{name}'] = None
    if part == 'val' and is_told:
        print_log(
            f'{roots}: found no labelled test images (test.csv, valid/, test/), so nothing is validated', 'current'
        )
