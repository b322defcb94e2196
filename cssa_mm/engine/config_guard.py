"""Unknown config keys are errors that name the nearest known key."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from mmpretrain import registry

from cssa_mm.errors import ConfigError, nearest

REGISTRIES: tuple[Registry, ...] = tuple(value for value in vars(registry).values() if isinstance(value, Registry))
# Keys that mmengine reads from a section before or instead of the constructor.
SECTION_KEYS = {
    'train_cfg': {'by_epoch'},
    'optim_wrapper': {
        'constructor',
        'paramwise_cfg',
        'optimizer',
        'type',
        'clip_grad',
        'accumulative_counts',
    },
    'param_scheduler': {'convert_to_iter_based'},
}
DATALOADER_KEYS = {
    'dataset', 'sampler', 'batch_sampler', 'batch_size', 'num_workers', 'collate_fn', 'pin_memory', 'drop_last',
    'timeout', 'worker_init_fn', 'prefetch_factor', 'persistent_workers', 'pin_memory_device', 'num_batch_per_epoch',
}  # fmt: skip
RUNNER_KEYS = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
CONFIG_KEYS = RUNNER_KEYS | {
    'custom_imports', 'env_cfg', 'auto_scale_lr', 'tta_model', 'tta_pipeline', 'tta_pipelines', 'runner_type',
    'filename', 'gpu_ids', 'model_wrapper_cfg',
}  # fmt: skip


def check_config(config: Config) -> None:
    """Check every key of a config against what reads it.

    Sections with a `type` are compared with that class's constructor, data loaders with those of PyTorch, the
    top level with the Runner's. Components that take any keyword are left alone.

    Raises:
        ConfigError: one line with the first unknown key, where it stands and the nearest known one.
    """
    plain = config.to_dict() if isinstance(config, Config) else config
    _check_keys(plain, CONFIG_KEYS | {key for key in plain if key.startswith('_')}, 'config')
    for path, section in _sections(plain, ''):
        name = path.split('.')[-1]
        if name.endswith('_dataloader'):
            _check_keys(section, DATALOADER_KEYS, path)
        elif isinstance(section.get('type'), str):
            known = _constructor_keys(section['type'])
            extra = SECTION_KEYS.get(path.split('.')[0].split('[')[0], set())
            if known is not None:
                _check_keys(section, known | extra | {'type', '_scope_', 'init_cfg'}, path)


def _check_keys(section: Mapping[str, Any], known: set[str], path: str) -> None:
    for key in section:
        if key not in known:
            where = '' if path == 'config' else f'{path}.'
            raise ConfigError(
                f"config: found the unknown key '{where}{key}', expected one of {len(known)} known keys."
                f'{nearest(key, known)}'
            )


def _sections(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if path:
            yield path, value
        for key, item in value.items():
            yield from _sections(item, f'{path}.{key}' if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _sections(item, f'{path}[{index}]')


def _constructor_keys(type_name: str) -> set[str] | None:
    """The keyword names of a registered class, through `**kwargs` of its subclasses; None where any will do."""
    for candidate in REGISTRIES:
        component = candidate.get(type_name) if '.' not in type_name else None
        if component is not None:
            break
    else:
        return None
    if not inspect.isclass(component):
        return None
    keys: set[str] = set()
    for parent in component.__mro__:
        if '__init__' not in vars(parent):
            continue
        parameters = inspect.signature(parent.__init__).parameters.values()
        keys |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return keys
    return None
