"""Options of the data loaders: what torch or mmengine would refuse late, or what would change figures silently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import FUNCTIONS
from mmpretrain.registry import DATA_SAMPLERS

from cssa_mm.errors import ConfigError
from cssa_mm.features.view import LOADERS
from cssa_mm.names import component_of
from cssa_mm.semi.sampler import GlobalBatchSampler, SemiSupervisedSampler

# What torch takes with workers only.
OF_WORKERS = ('prefetch_factor', 'timeout')
# Samplers that show an image several times, or without end.
REPEATING = ('InfiniteSampler', 'RepeatAugSampler')


def apply_loaders(config: Config) -> None:
    """Check the options of all loaders, and leave out those of workers where there are none, in place.

    Raises:
        ConfigError: an option has no meaning here, would leave test images out, or has another type.
    """
    for where in LOADERS:
        loader = config.get(where)
        if loader is None:
            continue
        if 'batch_size' not in loader and where == 'train_dataloader':
            raise ConfigError(f'{where}.batch_size: found none, expected the number of images of a batch')
        _check_collate(loader.get('collate_fn'), where)
        if loader.get('collate_fn') == {'type': 'default_collate'}:  # which fails where images differ in size
            loader.collate_fn = dict(type='pseudo_collate')
        _refuse_parts(loader, where)
        if where == 'train_dataloader':
            _check_training_samplers(loader)
        else:
            _check_test_sampler(loader, where)
        if not loader.get('num_workers'):
            loader.persistent_workers = False  # torch refuses persistent workers without workers
            for key in OF_WORKERS:
                loader.pop(key, None)
    if (config.get('randomness') or {}).get('diff_rank_seed'):
        config.randomness.diff_rank_seed = False
        print_log(
            'randomness.diff_rank_seed: left out, as each image has a seed of its own, whatever process augments it',
            'current',
        )


def _check_collate(option: Any, where: str) -> None:
    """Check the function that makes a batch; what it returns is checked at the first batch."""
    kind = option.get('type') if isinstance(option, Mapping) else option
    known = callable(kind) or (isinstance(option, Mapping) and isinstance(kind, str) and callable(FUNCTIONS.get(kind)))
    if option is not None and not known:
        raise ConfigError(
            f"{where}.collate_fn: found {option!r}, expected dict(type='pseudo_collate') or "
            "dict(type='default_collate'); leave it out"
        )


def _refuse_parts(loader: Mapping[str, Any], where: str) -> None:
    """Refuse what leaves images out."""
    is_training = where == 'train_dataloader'
    drops = loader.get('drop_last') or (loader.get('batch_sampler') or {}).get('drop_last')
    if drops:
        why = 'every batch is full, as the last one is filled up' if is_training else 'figures are of all images'
        raise ConfigError(f'{where}.drop_last: found True, expected False: {why}; leave it out')
    if loader.get('num_batch_per_epoch') is not None:
        instead = 'set train_cfg.semi_epochs' if is_training else f'name them in {where}.dataset.ann_file'
        why = 'an epoch is a pass over the unlabelled images' if is_training else 'figures are of all images'
        raise ConfigError(
            f'{where}.num_batch_per_epoch: found {loader["num_batch_per_epoch"]!r}, expected none: {why}; for fewer '
            f'{"steps" if is_training else "images"} {instead}'
        )


def _check_training_samplers(loader: Mapping[str, Any]) -> None:
    for key, expected in (('sampler', SemiSupervisedSampler), ('batch_sampler', GlobalBatchSampler)):
        option = loader.get(key)
        kind = _class_of(option)
        if isinstance(option, Mapping) and 'type' in option and kind is None:
            continue  # an unknown one, which is told where components are checked
        if not (isinstance(kind, type) and issubclass(kind, expected)):
            found = f'a {kind.__name__}' if isinstance(kind, type) else repr(option)
            raise ConfigError(
                f'train_dataloader.{key}: found {found}, expected {key}=dict(type={expected.__name__!r}): batches are '
                'of labelled and unlabelled images, the same for any number of processes; give both '
                "sampler=dict(type='SemiSupervisedSampler') and batch_sampler=dict(type='GlobalBatchSampler')"
            )
    sampler = loader['sampler']
    for key in ('rank', 'world_size'):
        if sampler.get(key) is not None:
            raise ConfigError(
                f'train_dataloader.sampler.{key}: found {sampler[key]!r}, expected none, as the launcher tells it; '
                'leave it out'
            )


def _check_test_sampler(loader: Mapping[str, Any], where: str) -> None:
    option = loader.get('sampler')
    kind = _class_of(option)
    name = getattr(kind, '__name__', '')
    right = "sampler=dict(type='DefaultSampler', shuffle=False)"
    if option is None:
        raise ConfigError(f'{where}.sampler: found none, expected {right}')
    if name in REPEATING or (isinstance(kind, type) and issubclass(kind, SemiSupervisedSampler)):
        raise ConfigError(
            f'{where}.sampler: found a {name}, which shows images several times or not at all, expected {right}'
        )
    if isinstance(option, Mapping) and option.get('subsample_type', 'default') != 'default':
        raise ConfigError(
            f'{where}.sampler.subsample_type: found {option["subsample_type"]!r}, whose order several processes do '
            f'not restore, expected {right}'
        )


def _class_of(option: Any) -> Any:
    return component_of(option.get('type') if isinstance(option, Mapping) else None, DATA_SAMPLERS)
