"""Unknown config keys and components are errors that name the nearest known one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import LogProcessor, Runner, TestLoop, ValLoop
from mmengine.utils import import_modules_from_strings
from mmengine.utils.dl_utils import set_multi_processing
from mmpretrain.datasets import PackInputs

from cssa_mm.datasets.splits.option import KEYS as SPLIT_KEYS
from cssa_mm.datasets.splits.option import VALIDATION_KEYS
from cssa_mm.datasets.view import View
from cssa_mm.engine.config.class_types import REGISTRIES
from cssa_mm.engine.config.moved_keys import MOVED
from cssa_mm.errors import ConfigError, nearest
from cssa_mm.features.options import CACHE_KEYS
from cssa_mm.models import (
    ContextHead,
    CSSADataPreprocessor,
    DiscriminantEvidence,
    LabelAlignmentHead,
    MaskedAsymmetricLoss,
)
from cssa_mm.models.centring import KEYS as CENTRING_KEYS
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.models.prompts import ClassPrompts
from cssa_mm.models.teacher import ParameterEMA
from cssa_mm.semi.policies import POLICIES

RUNNER_KEYS = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
CONFIG_KEYS = RUNNER_KEYS | {
    'custom_imports', 'env_cfg', 'auto_scale_lr', 'tta_model', 'tta_pipeline', 'tta_pipelines', 'runner_type',
    'filename', 'compile', 'vis_backends', 'gpu_ids', 'model_wrapper_cfg', 'view', 'device', 'accept', 'strict_classes',
    'report', 'live', 'on_used_work_dir',
}  # fmt: skip
DATALOADER_KEYS = {
    'dataset', 'sampler', 'batch_sampler', 'batch_size', 'num_workers', 'collate_fn', 'pin_memory', 'drop_last',
    'timeout', 'worker_init_fn', 'prefetch_factor', 'persistent_workers', 'pin_memory_device', 'num_batch_per_epoch',
}  # fmt: skip
PARAMWISE_KEYS = {
    'custom_keys', 'norm_decay_mult', 'bias_lr_mult', 'bias_decay_mult', 'dwconv_decay_mult', 'dcn_offset_lr_mult',
    'flat_decay_mult', 'bypass_duplicate', 'layer_decay_rate',
}  # fmt: skip
POLICY_KEYS = {
    key
    for policy in POLICIES.values()
    for key, parameter in inspect.signature(policy).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
}
# Dicts that need no `type`: the end of their path -> what takes their keys as keywords.
READERS: dict[str, Callable | set[str]] = {
    'model.head': LabelAlignmentHead,
    'model.head.prompts': ClassPrompts,
    'model.head.centring': set(CENTRING_KEYS),
    'model.context_head': ContextHead,
    'model.loss': MaskedAsymmetricLoss,
    'model.ema': ParameterEMA,
    'model.evidence': DiscriminantEvidence,
    'model.neighbours': Neighbours,
    'model.data_preprocessor': CSSADataPreprocessor,
    'view': View,
    'pseudo_labels.feature_cache': set(CACHE_KEYS),
    'dataset.split': set(SPLIT_KEYS),
    'dataset.validation': set(VALIDATION_KEYS),
    'policy': POLICY_KEYS | {'name'},
    'train_dataloader': DATALOADER_KEYS,
    'val_dataloader': DATALOADER_KEYS,
    'test_dataloader': DATALOADER_KEYS,
    'val_cfg': ValLoop,
    'test_cfg': TestLoop,
    'optim_wrapper': OptimWrapper,
    'optim_wrapper.paramwise_cfg': PARAMWISE_KEYS,
    'log_processor': LogProcessor,
    'randomness': Runner.set_randomness,
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': set_multi_processing,
    'custom_imports': import_modules_from_strings,
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'compile': torch.compile,
}
# Keys that mmengine reads from a section before or instead of the constructor.
SECTION_KEYS = {
    'train_cfg': {'by_epoch'},
    'optim_wrapper': {'constructor', 'paramwise_cfg', 'optimizer'},
    'param_scheduler': {'convert_to_iter_based'},
}
HELPERS = "; a name of your own that others use begins with '_'"
LOADER_SECTIONS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# What must be a dict, if it is there.
SECTIONS = (
    'model', 'model.backbone', 'model.head', 'model.head.prompts', 'model.head.centring', 'train_cfg', 'val_cfg',
    'test_cfg', 'default_hooks', 'optim_wrapper', 'auto_scale_lr', 'randomness', 'env_cfg', *LOADER_SECTIONS,
    *(f'{name}.{part}' for part in ('dataset', 'sampler') for name in LOADER_SECTIONS),
)  # fmt: skip
# What training and the metric read from every sample.
SAMPLE_KEYS = {
    'train_dataloader': ('image_id', 'is_labelled'),
    'val_dataloader': ('image_id',),
    'test_dataloader': ('image_id',),
}
HOOK = re.compile(r'custom_hooks|default_hooks\.\w+')  # whose `priority` mmengine reads
# Keywords that the classifier gives to its parts.
GIVEN = {'encoder', 'class_names', 'num_classes', 'num_readings', 'embed_dim', 'anchor_text'}


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
    for path, section in _sections(plain, ''):
        # The types of clip_grad are norms, those of ProfilerHook's on_trace_ready are its own.
        if path.endswith('.on_trace_ready'):
            continue
        if path != 'optim_wrapper.clip_grad':
            _check_type(section.get('type'), path)
        known = _known_keys(path, section)
        if known is not None:
            _check_keys(section, known | {'type', '_scope_'}, path)
        if _registered(section.get('type')) is PackInputs:
            _check_sample_keys(section, path)


def check_sections(config: Mapping[str, Any]) -> None:
    """Check that each section that is there is a dict, so that its keys can be looked at.

    Raises:
        ConfigError: one is not.
    """
    for path in SECTIONS:
        value: Any = config
        for name in path.split('.'):
            value = value.get(name) if isinstance(value, Mapping | Config) else None
        if value is not None and not isinstance(value, Mapping):
            raise ConfigError(
                f'config: found {path}={value!r}, expected a dict or None; to set one of its keys: {path}.KEY=...'
            )


def _check_type(kind: Any, path: str) -> None:
    if kind is not None and not isinstance(kind, str) and not callable(kind):
        raise ConfigError(f'config: found {path}.type={kind!r}, expected the name of a registered component')
    # A dot stands for the scope of another toolbox or for a Python path.
    if isinstance(kind, str) and '.' not in kind and _registered(kind) is None:
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


def _sections(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if path:
            yield path, value
        for key, item in value.items():
            yield from _sections(item, f'{path}.{key}' if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _sections(item, f'{path}[{index}]')


def _known_keys(path: str, section: Mapping[str, Any]) -> set[str] | None:
    """The keys that a section may have; None if any will do."""
    path = re.sub(r'\[\d+\]', '', path)
    if path == 'default_hooks':  # an override of a misspelt hook adds one without a type
        hooks = {name for name, hook in section.items() if not isinstance(hook, Mapping) or 'type' in hook}
        return {name for name in hooks if f'default_hooks.{name}' not in MOVED}
    if '.custom_keys.' in path:
        return {'lr_mult', 'decay_mult'}
    if 'type' in section:
        reader = _registered(section['type'])
    else:
        reader = next((reader for end, reader in READERS.items() if f'.{path}'.endswith(f'.{end}')), None)
    known = reader if isinstance(reader, set) else _keywords(reader)
    if known is None:
        return None
    given = GIVEN if re.match(r'model\.(?!class_names\b)', path) else set()
    return known - given | SECTION_KEYS.get(path, {'priority'} if HOOK.fullmatch(path) else set())


def _registered(kind: Any) -> Any:
    """What a `type` stands for: a class, a registered function, or None."""
    if not isinstance(kind, str) or '.' in kind:
        return kind if inspect.isclass(kind) else None
    for candidate in REGISTRIES:
        if kind in candidate.module_dict:
            return candidate.module_dict[kind]
    # Much slower: it imports modules that have not been imported yet.
    return next((found for candidate in REGISTRIES if (found := candidate.get(kind)) is not None), None)


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
