"""A fold of the training set as validation or test set: it follows the training set once that is complete."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from mmengine.config import Config, ConfigDict

from cssa_mm.errors import ConfigError

PARTS = ('val', 'test')
# What a data set says of how it is used, not of its images.
USE = {'type', 'pipeline', 'test_mode', 'lazy_init'}


def take_folds(config: Config, train: Mapping) -> dict[str, dict]:
    """Take the loaders that test on a fold of the training set out of a config; `give_folds` puts them back.

    Raises:
        ConfigError: One has a fold of other data.
    """
    found = {}
    for part in PARTS:
        options = (config.get(f'{part}_dataloader') or {}).get('dataset')
        if not isinstance(options, Mapping) or options.get('fold') is None:
            continue
        differing = _differing(options, train)
        if differing:
            raise ConfigError(
                f'{part}_dataloader.dataset.{differing}: found {options.get(differing)!r} in a KFoldDataset, expected '
                f'{train.get(differing)!r}, that of train_dataloader.dataset, whose folds are trained on and tested'
            )
        if (train.get('fold') or {}) | dict(test_mode=True) != options['fold']:
            raise ConfigError(
                f'{part}_dataloader.dataset: found the fold {_named(options["fold"])}, expected that which '
                f'train_dataloader.dataset leaves out, {_named(train.get("fold"))}; give both the same'
            )
        found[part] = dict(options)
        config[f'{part}_dataloader'].dataset = None
    return found


def give_folds(config: Config, folds: Mapping[str, Mapping]) -> None:
    """Put the loaders back that test on a fold of the training set, which is complete now."""
    for part, options in folds.items():
        own = {key: options[key] for key in ('pipeline', 'fold') if key in options}
        train = copy.deepcopy(dict(config.train_dataloader.dataset))
        config[f'{part}_dataloader'].dataset = ConfigDict(train | own | dict(oversample=None))


def _differing(options: Mapping, train: Mapping) -> str | None:
    """The first key of two data sets that says other images."""
    ignored = USE | {'fold', 'oversample'}
    return next(
        (key for key in {**options, **train} if key not in ignored and options.get(key) != train.get(key)), None
    )


def _named(fold: Mapping | None) -> str:
    return 'none' if fold is None else ', '.join(f'{key}={fold[key]}' for key in ('fold', 'num_splits', 'seed'))
