"""A fold of the training set as validation or test set: it follows the training set once that is complete."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from cssa_mm.datasets.toolbox.own_sets import class_of
from cssa_mm.datasets.toolbox.wrappers import is_join
from cssa_mm.engine.config.data_sections import PARTS, dataset_of, defaults_of
from cssa_mm.errors import ConfigError

# What a data set says of how it is used, not of its images.
USE = {'type', 'pipeline', 'test_mode', 'lazy_init'}


def take_folds(config: Config, train: Mapping) -> dict[str, dict]:
    """Take the loaders that test on a fold of the training set out of a config; `give_folds` puts them back.

    Raises:
        ConfigError: One has a fold of other data.
    """
    found = {}
    for part in PARTS:
        options = dataset_of(config, part)
        if not isinstance(options, Mapping) or options.get('fold') is None:
            continue
        differing = _differing(options, train)
        if differing:
            raise ConfigError(
                f'{part}_dataloader.dataset.{differing}: found {_at(options, differing)!r} in a KFoldDataset, expected '
                f'{_at(train, differing)!r}, that of train_dataloader.dataset, whose folds are trained on and tested; '
                'leave it out'
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
    """The first key of a fold that says other images than the training set, which it follows in all that it leaves."""
    ignored = USE | {'fold', 'oversample'}
    defaults = defaults_of(class_of(train))
    for key, value in options.items():
        if key in ignored or value is None:
            continue
        wanted: Any = defaults.get(key) if train.get(key) is None else train[key]
        if is_join(options) and is_join(train) and key == 'datasets' and len(value) == len(wanted):
            of_parts = [_differing(own, other) for own, other in zip(value, wanted, strict=True)]
            if any(of_parts):
                return next(f'datasets.{number}.{each}' for number, each in enumerate(of_parts) if each)
        elif value != wanted:
            return key
    return None


def _at(options: Any, key: str) -> Any:
    for name in key.split('.'):
        options = options[int(name)] if isinstance(options, list | tuple) else options.get(name)
    return options


def _named(fold: Mapping | None) -> str:
    return 'none' if fold is None else ', '.join(f'{key}={fold[key]}' for key in ('fold', 'num_splits', 'seed'))
