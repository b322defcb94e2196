"""The description in a checkpoint: enough to build its model again, and to refuse any other model.

The description lies in the state dict as `_extra_state`, JSON in the bytes of a tensor (mmengine wants nothing but
tensors there):

    format         version of this description
    tower          name, hash and place of the weights, and how they are read (backbone options)
    class_names    the C names
    prompts        one or several wordings of each class; a file without them has the names
    head, context_head, evidence    all their options, defaults filled in; null for a missing part
    view           the plain view that images are scored on
    thresholds     a score for each class, and how it was found
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.registry import Registry
from mmpretrain.registry import MODELS, TRANSFORMS
from torch import Tensor, nn

from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.datasets.view import View
from cssa_mm.errors import CheckpointError, ConfigError, nearest
from cssa_mm.models.clip_backbone import OpenCLIPBackbone
from cssa_mm.models.plain_data import as_data, differences, short
from cssa_mm.models.prompts import ClassPrompts
from cssa_mm.models.thresholds import ClassThresholds
from cssa_mm.names import one_form

FORMAT = 2
KEY = '_extra_state'
# Options that no score of a trained model depends on: they say how training begins or proceeds, or where files lie.
TRAINING_ONLY = {
    'head.temperature', 'head.prompts.initial_words', 'head.prompts.chunk_size', 'context_head.target',
    'context_head.affinity', 'context_head.method', 'tower.pretrained', 'tower.config_dir', 'tower.model_config',
    'tower.model_config.text_cfg.tokenizer_kwargs.bpe_path', 'tower.precision',
}  # fmt: skip
PARTS = ('head', 'context_head', 'evidence')
NEEDED = ('tower', 'class_names', *PARTS, 'view', 'thresholds')
COMPARED = ('tower', 'class_names', 'prompts', *PARTS)
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
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f'checkpoint: found a broken description ({error}), expected the JSON that training wrote; copy the file '
            'again'
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
    if found != FORMAT:
        fix = 'convert it: cssa convert CHECKPOINT' if found in range(FORMAT) else 'update cssa_mm'
        raise CheckpointError(f'checkpoint: found format {found}, expected {FORMAT}; {fix}')
    _check_form(description)
    # An older file may hold names in another Unicode form.
    description['class_names'] = list(map(one_form, description['class_names']))
    description['prompts'] = [list(map(one_form, texts)) for texts in description['prompts']]
    return description


def _check_form(description: dict[str, Any]) -> None:
    """Check that a description names registered parts only: a file can come from anywhere."""
    _require(description, NEEDED, 'a description')
    _require(description['tower'], TOWER, 'a tower')
    names = description['class_names']
    if not _is_texts(names):
        raise CheckpointError(f'checkpoint: found class_names {short(names)}, expected a list of names')
    prompts = description.setdefault('prompts', [[name] for name in names])
    if not isinstance(prompts, list) or len(prompts) != len(names) or not all(map(_is_texts, prompts)):
        raise CheckpointError(f'checkpoint: found prompts {short(prompts)}, expected texts for each class')
    ClassThresholds.from_dict(description['thresholds'], len(names))
    for part in PARTS:
        if description[part] is not None:
            check_registered(f'model.{part}', description[part], MODELS)
    if description['view'] is not None:
        check_registered('view', description['view'], TRANSFORMS, View)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _require(section: Any, keys: Sequence[str], what: str) -> None:
    for key in keys:
        if not isinstance(section, Mapping) or key not in section:
            raise CheckpointError(f"checkpoint: found {what} without '{key}', expected one that training wrote")


def check_registered(key: str, config: Any, registry: Registry, base: type = object) -> None:
    """Check that a config from a checkpoint names a registered component.

    The registry would import and call whatever a dotted name points to.

    Raises:
        CheckpointError: it names something else.
    """
    kind = config.get('type') if isinstance(config, Mapping) else config
    part = registry.module_dict.get(kind) if isinstance(kind, str) else None
    if part is None or not issubclass(part, base):
        raise CheckpointError(
            f'checkpoint: found the unknown component {short(kind)} as {key}.type, expected a registered one; import '
            'the module that registers it'
        )


class CheckpointIdentity(nn.Module):
    """Mixin of a classifier whose checkpoints describe themselves, and are refused by any other model."""

    backbone: OpenCLIPBackbone
    class_words: ClassWords
    class_names: list[str]
    options: dict[str, Any]
    view: View | None
    thresholds: ClassThresholds
    unfold: Callable[[], None]

    def description(self) -> dict[str, Any]:
        """What a checkpoint says of this model, as plain data."""
        return dict(
            format=FORMAT,
            tower=self.backbone.description(),
            class_names=list(self.class_names),
            prompts=[list(texts) for texts in self.class_words.prompts],
            **self.options,
            view=None if self.view is None else self.view.as_config(),
            thresholds=self.thresholds.to_dict(),
        )

    def get_extra_state(self) -> Tensor:
        """The description, for `state_dict()`."""
        return encode_description(self.description())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *details: Any) -> None:
        # mmengine loads what fits and leaves the rest out: refuse the whole before anything is loaded.
        saved = read_description(state_dict, prefix)
        self._refuse_other_model(saved)
        self._refuse_other_entries(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *details)

    def set_extra_state(self, state: Tensor) -> None:
        """Take over what a checkpoint says beyond the weights: thresholds and, unless the model has one, the view."""
        self.unfold()
        saved = decode_description(state)
        self.thresholds = ClassThresholds.from_dict(saved['thresholds'], len(self.class_names))
        view = None if saved['view'] is None else TRANSFORMS.build(saved['view'])
        if self.view is None:
            self.view = view
        elif view is not None and view != self.view:
            print_log(
                f'checkpoint: found the training view {view}, but the model uses {self.view}; scores will differ',
                'current',
                logging.WARNING,
            )

    def _refuse_other_model(self, saved: Mapping[str, Any]) -> None:
        here = self.description()
        for part in COMPARED:
            for name, theirs, ours in differences(saved.get(part), here[part], part):
                if name not in TRAINING_ONLY:
                    key = name if part in ('tower', 'class_names', 'prompts') else f'model.{name}'
                    raise CheckpointError(
                        f'checkpoint: found a model trained with {key} {short(theirs)}, expected {short(ours)}; '
                        'build the model from the config that it was trained with'
                    )

    def _refuse_other_entries(self, state_dict: Mapping[str, Any], prefix: str) -> None:
        expected = {f'{prefix}{name}': value for name, value in self.state_dict().items()}
        found = {name: value for name, value in state_dict.items() if name.startswith(prefix)}
        for name in (*expected, *found):
            if name not in found or name not in expected:
                reason = 'no entry' if name not in found else 'the unexpected entry'
                raise CheckpointError(
                    f"checkpoint: found {reason} '{name}', expected the entries of this model and no others; take the "
                    'whole file that training wrote'
                )
            shapes = [tuple(entries[name].shape) for entries in (found, expected)]
            if not name.endswith(KEY) and shapes[0] != shapes[1]:
                raise CheckpointError(
                    f"checkpoint: found '{name}' of shape {shapes[0]}, expected {shapes[1]}; build the model from the "
                    'config that it was trained with'
                )
