"""What a report says of a run's settings and split, without anything of the machine that it ran on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mmengine.config import Config

from cssa_mm.apis.reporting.run import Run
from cssa_mm.datasets.splits.split import hash_ids
from cssa_mm.visualization.pages.report_data import Facts

LONGEST = 200_000  # characters of a config that is shown
# An absolute path in a longer text: after a blank, a colon or a quote.
PATH = re.compile(r'(?<![\w./\\])(?:~|[A-Za-z]:)?(?:[/\\][^/\\\s\'":,]+)+[/\\]([^/\\\s\'":,]+)')


def settings_of(run: Run) -> Facts:
    """Name and value of the settings that matter most."""
    config, model = run.config, run.model
    found: dict[str, Any] = dict(config=run.config_name)
    if model is not None:
        tower = model.description()['tower']
        found['tower'] = ':'.join(without_paths(str(tower[key])) for key in ('model_name', 'pretrained') if tower[key])
        found['classes'] = len(model.class_names)
        found['thresholds'] = _thresholds(run)
        found['contexts'] = 'none' if model.context_head is None else model.context_head.num_contexts
        parts = [name for name in ('evidence', 'neighbours') if getattr(model, name) is not None]
        found['of cssa_plus'] = ' and '.join(parts) or 'nothing'
        found['checkpoint'] = run.checkpoint
    if config is not None:
        loop = config.train_cfg
        found['epochs'] = f'{loop.get("warmup_epochs")} with labels alone, {loop.get("semi_epochs")} semi-supervised'
        optimiser = (config.get('optim_wrapper') or {}).get('optimizer') or {}
        found['optimiser'] = f'{optimiser.get("type")}, learning rate {optimiser.get("lr")}'
        found['images of a step'] = (config.get('train_dataloader') or {}).get('batch_size')
        algorithm = (config.get('default_hooks') or {}).get('pseudo_labels') or {}
        found['policy'] = (algorithm.get('policy') or {}).get('name')
        found['seed'] = (config.get('randomness') or {}).get('seed')
    return tuple((name, str(value)) for name, value in found.items() if value not in (None, ''))


def split_of(run: Run) -> Facts:
    """Name and value of what decides which images are labelled; two runs with equal hashes saw the same labels."""
    dataset = run.train
    if dataset is None:
        return ()
    labelled = [dataset.image_ids[i] for i in dataset.labelled_indices]
    split = dataset.split
    found: dict[str, Any] = {
        'labelled images': f'{len(labelled):,} of {len(dataset):,} training images',
        'rule': 'every image that has labels' if split is None else split.rule,
    }
    if split is not None:
        if split.rule != 'listed':
            found['seed'] = split.seed
        found['proportion'] = f'{split.proportion:g}'
    found['hash of all images'] = hash_ids(dataset.image_ids)[:16]
    found['hash of the labelled images'] = hash_ids(labelled)[:16]
    if run.test is not None:
        found['test images'] = f'{len(run.test):,}'
        found['hash of the test images'] = hash_ids(run.test.image_ids)[:16]
    return tuple((name, str(value)) for name, value in found.items())


def config_text(config: Config | None) -> str:
    """The whole config as text, its absolute paths cut to their last part."""
    if config is None:
        return ''
    lines = [f'{name} = {_shown(value)}' for name, value in _relative(config.to_dict()).items()]
    text = '\n'.join(lines)
    return text if len(text) <= LONGEST else f'{text[:LONGEST]}\n... {len(text) - LONGEST:,} more characters'


def without_paths(text: str) -> str:
    """A text whose absolute paths are cut to their last part."""
    if os.path.isabs(text) or re.match(r'~[/\\]|[A-Za-z]:[/\\]', text):
        return PurePath(text.replace('\\', '/')).name
    return PATH.sub(r'\1', text.replace('file://', ''))


def _relative(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {without_paths(str(key)): _relative(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_relative(item) for item in value]
    return without_paths(value) if isinstance(value, str) else value


def _shown(value: Any, depth: int = 0) -> str:
    """A value as config files have it, one key a line."""
    if isinstance(value, Mapping) and value:
        inner = ''.join(f'{"    " * (depth + 1)}{key}={_shown(item, depth + 1)},\n' for key, item in value.items())
        return f'dict(\n{inner}{"    " * depth})'
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        inner = ''.join(f'{"    " * (depth + 1)}{_shown(item, depth + 1)},\n' for item in value)
        return f'[\n{inner}{"    " * depth}]'
    return value.__name__ if isinstance(value, type) else repr(value)


def _thresholds(run: Run) -> str:
    thresholds = run.model.thresholds if run.model is not None else None
    if thresholds is None or thresholds.rule == 'default':
        return '.5 for every class, on raw scores: the training ended before it found any, or found none'
    pooled = sum(source == 'pooled' for source in thresholds.sources)
    lean = f', {pooled} of them lean on other classes' if pooled else ''
    return f"{len(thresholds.values)}, by the rule '{thresholds.rule}'{lean}"
