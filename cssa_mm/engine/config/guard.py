"""Unknown config keys and components are errors that name the nearest known one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.datasets import PackInputs

from cssa_mm.engine.config.class_types import REGISTRIES
from cssa_mm.engine.config.moved_keys import MOVED
from cssa_mm.engine.config.section_readers import GIVEN, reader_of, registered, sections_of, without_places
from cssa_mm.errors import ConfigError, nearest

RUNNER_KEYS = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
CONFIG_KEYS = RUNNER_KEYS | {
    'custom_imports', 'env_cfg', 'auto_scale_lr', 'tta_model', 'tta_pipeline', 'tta_pipelines', 'runner_type',
    'filename', 'compile', 'vis_backends', 'gpu_ids', 'model_wrapper_cfg', 'view', 'device', 'accept', 'strict_classes',
    'report', 'live', 'on_used_work_dir',
}  # fmt: skip
# Keys that mmengine reads from a section before or instead of the constructor.
SECTION_KEYS = {
    'train_cfg': {'by_epoch'},
    'optim_wrapper': {'constructor', 'paramwise_cfg', 'optimizer'},
    'param_scheduler': {'convert_to_iter_based'},
}
HELPERS = "; a name of your own that others use begins with '_'"
# What training and the metric read from every sample.
SAMPLE_KEYS = {
    'train_dataloader': ('image_id', 'is_labelled'),
    'val_dataloader': ('image_id',),
    'test_dataloader': ('image_id',),
}
HOOK = re.compile(r'custom_hooks|default_hooks\.\w+')  # whose `priority` mmengine reads


def check_config(config: Config) -> None:
    """Check every key of a config against what reads it.

    Sections with a `type` are compared with that class's constructor, those of `READERS` with what reads them, the
    top level with the Runner's. Components that take any keyword are left alone.

    Raises:
        ConfigError: one line with the first unknown key or component, where it stands and the nearest known one; or
            the samples lack a key that training or the metric reads.
    """
    plain = config.to_dict() if isinstance(config, Config) else config
    _check_keys(plain, CONFIG_KEYS | {key for key in plain if key.startswith('_')}, 'config')
    for path, section in sections_of(plain):
        # The types of clip_grad are norms, those of ProfilerHook's on_trace_ready are its own.
        if path.endswith('.on_trace_ready'):
            continue
        if path != 'optim_wrapper.clip_grad':
            _check_type(section.get('type'), path)
        known = _known_keys(path, section)
        if known is not None:
            _check_keys(section, known | {'type', '_scope_'}, path)
        if registered(section.get('type')) is PackInputs:
            _check_sample_keys(section, path)


def _check_type(kind: Any, path: str) -> None:
    if kind is not None and not isinstance(kind, str) and not callable(kind):
        raise ConfigError(f'config: found {path}.type={kind!r}, expected the name of a registered component')
    # A dot stands for the scope of another toolbox or for a Python path.
    if isinstance(kind, str) and '.' not in kind and registered(kind) is None:
        known = {name for candidate in REGISTRIES for name in candidate.module_dict}
        raise ConfigError(
            f"config: found the unknown component '{kind}' as {path}.type, expected the name of a registered one."
            f'{nearest(kind, known)}'
        )


def _check_sample_keys(section: Mapping[str, Any], path: str) -> None:
    wanted = SAMPLE_KEYS.get(path.split('.')[0], ())
    found = tuple(section.get('meta_keys', PackInputs.DEFAULT_META_KEYS))
    for key in wanted:
        if key not in found:
            raise ConfigError(
                f"config: found {path}.meta_keys without '{key}', which every image needs, expected "
                f"{' and '.join(map(repr, wanted))} among them; add '{key}'"
            )


def _check_keys(section: Mapping[str, Any], known: set[str], path: str) -> None:
    for key in section:
        if key not in known:
            where = '' if path == 'config' else f'{path}.'
            hint = f' It is {MOVED[where + key]} now.' if where + key in MOVED else nearest(key, known - {'_scope_'})
            raise ConfigError(
                f"config: found the unknown key '{where}{key}', expected one of {len(known)} known keys"
                f'{"" if where else HELPERS}.{hint}'
            )


def _known_keys(path: str, section: Mapping[str, Any]) -> set[str] | None:
    """The keys that a section may have; None if any will do."""
    path = without_places(path)
    if path == 'default_hooks':  # an override of a misspelt hook adds one without a type
        hooks = {name for name, hook in section.items() if not isinstance(hook, Mapping) or 'type' in hook}
        return {name for name in hooks if f'default_hooks.{name}' not in MOVED}
    if '.custom_keys.' in path:
        return {'lr_mult', 'decay_mult'}
    reader = reader_of(path, section)
    known = reader if isinstance(reader, set) else _keywords(reader)
    if known is None:
        return None
    given = GIVEN if re.match(r'model\.(?!class_names\b)', path) else set()
    return known - given | SECTION_KEYS.get(path, {'priority'} if HOOK.fullmatch(path) else set())


def _keywords(reader: Callable | None) -> set[str] | None:
    """The keyword names of a function, or of a class through the `**kwargs` of its parents; None where any will do."""
    if reader is None:
        return None
    initialisers = [reader]
    if inspect.isclass(reader):
        initialisers = [vars(parent)['__init__'] for parent in reader.__mro__[:-1] if '__init__' in vars(parent)]
    keys: set[str] = set()
    for initialiser in initialisers:
        parameters = inspect.signature(initialiser).parameters.values()
        keys |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return keys - {'self'}
    return None if initialisers else set()
