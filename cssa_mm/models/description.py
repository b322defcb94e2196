"""The description in a checkpoint: enough to build its model again, and to refuse any other model.

The description lies in the state dict as `_extra_state`, JSON in the bytes of a tensor (mmengine wants nothing but
tensors there):

    format         version of this description
    tower          name, hash and place of the weights, and how they are read (backbone options)
    class_names    the C names
    prompts        one or several wordings of each class; a file without them has the names
    head, context_head, evidence, neighbours    all their options, defaults filled in; null for a missing part. The
                    vocabulary of a head's centring are its words, whatever file they came from
    view           the plain view that images are scored on
    calibration    how raw scores become calibrated ones; a file of format 2 has none
    thresholds     a calibrated score for each class, and how it was found
    zero_shot      calibration of names that were never trained; null where nothing is known
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import Registry
from mmpretrain.registry import MODELS, TRANSFORMS
from torch import Tensor

from cssa_mm.datasets.view import View
from cssa_mm.errors import CheckpointError, ConfigError, nearest
from cssa_mm.models.centring import centring_options
from cssa_mm.models.plain_data import as_data, short
from cssa_mm.models.prompts import ClassPrompts
from cssa_mm.models.score_calibration import ScoreCalibration, ZeroShotCalibration
from cssa_mm.models.thresholds import ClassThresholds
from cssa_mm.models.tower_spec import HUB, LOCAL_DIR
from cssa_mm.names import one_form
from cssa_mm.values import check_values

FORMAT = 4
READABLE = (2, 3, 4)
KEY = '_extra_state'
PARTS = ('head', 'context_head', 'evidence', 'neighbours')
NEEDED = ('tower', 'class_names', *PARTS, 'view', 'thresholds')
TOOLBOX = ('mmengine', 'mmcv', 'mmpretrain', 'torch')
TOWER = ('model_name', 'pretrained', 'config_dir', 'dense', 'global_token', 'precision', 'model_config')


def with_defaults(default_type: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a part of the model with the defaults of its constructor filled in, as plain data.

    Raises:
        ConfigError: the type is unknown.
    """
    given: dict[str, Any] = {'type': default_type} | as_data(dict(config))
    part = MODELS.get(given['type'])
    if part is None:
        raise ConfigError(
            f"model: found the unknown component '{given['type']}', expected a registered one."
            f'{nearest(given["type"], MODELS.module_dict)}'
        )
    defaults = _defaults(part)
    if 'prompts' in defaults:
        defaults['prompts'] = _defaults(ClassPrompts) | (given.get('prompts') or {})
        given.pop('prompts', None)
    if 'centring' in given:
        given['centring'] = centring_options(given['centring'])
    return defaults | given


def _defaults(part: type) -> dict[str, Any]:
    parameters = inspect.signature(part).parameters.values()
    return {p.name: as_data(p.default) for p in parameters if p.default is not p.empty}


def encode_description(description: Mapping[str, Any]) -> Tensor:
    """A description as the bytes of a JSON text."""
    return torch.tensor(list(json.dumps(description).encode()), dtype=torch.uint8)


def decode_description(state: Tensor) -> dict[str, Any]:
    """Read a description that `encode_description` wrote, of any format version.

    Raises:
        CheckpointError: the bytes are not a description.
    """
    try:
        description = json.loads(bytes(state.tolist()))
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: a tensor without contents
        raise CheckpointError(
            f'checkpoint: found a broken description ({" ".join(str(error).split())}), expected the JSON that training '
            'wrote; copy the file again'
        ) from error
    if not isinstance(description, dict):
        raise CheckpointError(
            f'checkpoint: found a description that is a {type(description).__name__}, expected the JSON object that '
            'training wrote; take another file'
        )
    return description


def read_description(state_dict: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """The description in a state dict.

    Raises:
        CheckpointError: it is missing or broken, or has another format version.
    """
    state = state_dict.get(f'{prefix}{KEY}')
    if not isinstance(state, Tensor):
        raise CheckpointError(
            f'checkpoint: found {len(state_dict)} entries that are not of a CSSAClassifier, expected a checkpoint '
            'that training wrote; take another file'
        )
    description = decode_description(state)
    found = description.get('format', 1)
    if found not in READABLE:
        fix = 'convert it: cssa convert CHECKPOINT' if found in range(FORMAT) else 'update cssa_mm'
        raise CheckpointError(f'checkpoint: found format {found}, expected {FORMAT}; {fix}')
    _check_form(description)
    # An older file may hold names in another Unicode form.
    description['class_names'] = list(map(one_form, description['class_names']))
    description['prompts'] = [list(map(one_form, texts)) for texts in description['prompts']]
    return description


def _check_form(description: dict[str, Any]) -> None:
    """Check that a description names registered parts only: a file can come from anywhere."""
    description.setdefault('neighbours', None)  # unknown to formats before 4
    _require(description, NEEDED, 'a description')
    _require(description['tower'], TOWER, 'a tower')
    _check_tower(description['tower'])
    names = description['class_names']
    if not _is_texts(names):
        raise CheckpointError(f'checkpoint: found class_names {short(names)}, expected a list of names')
    prompts = description.setdefault('prompts', [[name] for name in names])
    if not isinstance(prompts, list) or len(prompts) != len(names) or not all(map(_is_texts, prompts)):
        raise CheckpointError(f'checkpoint: found prompts {short(prompts)}, expected texts for each class')
    ClassThresholds.from_dict(description['thresholds'], len(names))
    ScoreCalibration.from_dict(
        description.setdefault('calibration', ScoreCalibration.none(len(names)).to_dict()), len(names)
    )
    ZeroShotCalibration.from_dict(description.setdefault('zero_shot', None))
    for part in PARTS:
        if description[part] is not None:
            check_registered(f'model.{part}', description[part], MODELS)
            _check_options(f'model.{part}', description[part], MODELS)
    if description['view'] is not None:
        check_registered('view', description['view'], TRANSFORMS, View)
        _check_options('view', description['view'], TRANSFORMS)


def _check_options(key: str, config: Mapping[str, Any], registry: Registry) -> None:
    try:
        check_values(registry.module_dict[config['type']], {k: v for k, v in config.items() if k != 'type'}, key)
    except ConfigError as error:
        raise CheckpointError(f'checkpoint: {error}, as training wrote it; take another file') from error


def _check_tower(tower: Mapping[str, Any]) -> None:
    """Check that the name of a tower is one: a file is called after it, and must not lie anywhere."""
    name = tower['model_name']
    is_name = isinstance(name, str) and bool(name) and not set(name) & set('/\\\0')
    if not is_name and not (isinstance(name, str) and name.startswith((HUB, LOCAL_DIR)) and '\0' not in name):
        raise CheckpointError(f'checkpoint: found the tower {short(name)}, expected the name of one, without folders')
    for key in ('pretrained', 'config_dir'):
        if not isinstance(tower[key], str | None) or '\0' in (tower[key] or ''):
            raise CheckpointError(
                f"checkpoint: found {short(tower[key])} as the tower's {key}, expected a path or null"
            )
    if not isinstance(tower['model_config'], Mapping | None):
        raise CheckpointError(
            f"checkpoint: found the tower's model_config {short(tower['model_config'])}, expected options"
        )


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _require(section: Any, keys: Sequence[str], what: str) -> None:
    for key in keys:
        if not isinstance(section, Mapping) or key not in section:
            raise CheckpointError(f"checkpoint: found {what} without '{key}', expected one that training wrote")


def check_registered(key: str, config: Any, registry: Registry, base: type = object) -> None:
    """Check that a config from a checkpoint names a registered component.

    The registry would import and call whatever a dotted name points to, and the toolbox registers parts that download.

    Raises:
        CheckpointError: it names something else.
    """
    kind = config.get('type') if isinstance(config, Mapping) else config
    part = registry.module_dict.get(kind) if isinstance(kind, str) else None
    if part is None or not issubclass(part, base) or part.__module__.split('.')[0] in TOOLBOX:
        raise CheckpointError(
            f'checkpoint: found the unknown component {short(kind)} as {key}.type, expected a registered one; import '
            'the module that registers it'
        )
