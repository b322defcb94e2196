"""What reads the keys of each section of a config: a registered component, a constructor, or a list of keys."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import LogProcessor, Runner, TestLoop, ValLoop
from mmengine.utils import import_modules_from_strings
from mmengine.utils.dl_utils import set_multi_processing

from cssa_mm.datasets.splits.option import KEYS as SPLIT_KEYS
from cssa_mm.datasets.splits.option import VALIDATION_KEYS
from cssa_mm.datasets.view import View
from cssa_mm.engine.config.class_types import REGISTRIES
from cssa_mm.features.options import CacheOptions
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
# Keywords that the classifier gives to its parts.
GIVEN = {'encoder', 'class_names', 'num_classes', 'num_readings', 'embed_dim', 'anchor_text'}
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
    'pseudo_labels.feature_cache': CacheOptions,
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


def sections_of(value: Any, path: str = '') -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Path and content of each dict below a value, in lists, too."""
    if isinstance(value, Mapping):
        if path:
            yield path, value
        for key, item in value.items():
            yield from sections_of(item, f'{path}.{key}' if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from sections_of(item, f'{path}[{index}]')


def reader_of(path: str, section: Mapping[str, Any]) -> Callable | set[str] | None:
    """What takes the keys of a section: that of its `type`, or of its place; None where nothing is known.

    Args:
        path: of the section, such as 'model.head'; places in lists are left out of account.
        section: its content.
    """
    if 'type' in section:
        return registered(section['type'])
    path = without_places(path)
    return next((reader for end, reader in READERS.items() if f'.{path}'.endswith(f'.{end}')), None)


def without_places(path: str) -> str:
    """A path without the places in lists: 'custom_hooks[0]' is 'custom_hooks'."""
    return re.sub(r'\[\d+\]', '', path)


def registered(kind: Any) -> Any:
    """What a `type` stands for: a class, a registered function, or None."""
    if not isinstance(kind, str) or not kind or '.' in kind:
        return kind if inspect.isclass(kind) else None
    for candidate in REGISTRIES:
        if kind in candidate.module_dict:
            return candidate.module_dict[kind]
    # Much slower: it imports modules that have not been imported yet.
    return next((found for candidate in REGISTRIES if (found := candidate.get(kind)) is not None), None)
