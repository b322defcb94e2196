"""What mmpretrain's users name a model by - a name, a config, a checkpoint - to the model itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmpretrain.apis import ModelHub, get_model, list_models
from mmpretrain.registry import MODELS

from cssa_mm.apis.exporting.opening import open_scorer
from cssa_mm.apis.scorer import Scorer, TorchScorer
from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.engine.runner import checked_device
from cssa_mm.errors import CheckpointError, ConfigError, CSSAError, nearest
from cssa_mm.features.view import view_of
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.description import read_description
from cssa_mm.models.thresholds import ClassThresholds
from cssa_mm.names import component_of


def is_ours(model: Any) -> bool:
    """Whether a model, or the config or name of one, is a `CSSAClassifier`; or a checkpoint, which no other takes."""
    if isinstance(model, str | os.PathLike):
        if Path(model).is_file():
            if Path(model).suffix != '.py':
                return True
            model = Config.fromfile(model)
        elif ModelHub.has(str(model).lower()):
            model = ModelHub.get(str(model)).config
    if isinstance(model, Config):
        kind = (model.get('model') or {}).get('type')
        built = component_of(kind, MODELS)
        return isinstance(built, type) and issubclass(built, CSSAClassifier)
    return isinstance(model, CSSAClassifier)


def open_model(
    model: Any,
    pretrained: bool | str | os.PathLike | None = True,
    device: str | torch.device | None = None,
    **options: Any,
) -> tuple[CSSAClassifier | Scorer, Config | None]:
    """The model, with the view that it scores images on, and the config that it was built from, if any.

    Args:
        model: a shipped config by its name, a config file or a config; a checkpoint or ONNX file; or a model.
        pretrained: the checkpoint; True: that of the config's `load_from`, if any.
        device: see `checked_device`; a model that is given stays where it is by default.
        options: of the config's model.

    Raises:
        ConfigError: the model is unknown, or arguments contradict each other.
        CheckpointError: the checkpoint is missing, unreadable, or that of another config.
    """
    checkpoint = None if isinstance(pretrained, bool) else pretrained
    if isinstance(model, CSSAClassifier):
        _refuse_options(options, 'a model')
        if checkpoint is not None:
            _load(model, checkpoint)
        if device is not None:
            model.to(checked_device(device))
        config = getattr(model, '_config', None)
        if model.view is None and config is not None:
            model.view = view_of(config)
        if checkpoint is None and _was_only_built(model):
            _mark_untrained(model, 'the model')
        return model, config
    is_name = isinstance(model, str | os.PathLike)
    is_config = isinstance(model, Config) or (is_name and Path(model).suffix == '.py')
    is_known = isinstance(model, str) and ModelHub.has(model.lower())
    if is_name and not is_config and not is_known and (Path(model).exists() or '://' in str(model)):
        _refuse_options(options, f"the checkpoint '{model}'")
        if checkpoint is not None:
            raise ConfigError(f"pretrained: found '{checkpoint}' beside the checkpoint '{model}', expected one of them")
        scorer = open_scorer(model, device=device)
        return (scorer.model if isinstance(scorer, TorchScorer) else scorer), None
    _check_source(model, is_config or is_known)
    return _of_config(model, pretrained, checked_device(device), options)


def _check_source(model: Any, is_known: bool) -> None:
    if isinstance(model, str | os.PathLike):
        if not is_known:
            raise ConfigError(
                f"model: found neither a model nor a file of the name '{model}', expected one such as 'cssa_demo', a "
                f'config or a checkpoint.{nearest(str(model), list_models("*cssa"))}'
            )
        if Path(model).suffix == '.py' and not Path(model).is_file():
            raise ConfigError(f"model: found no file '{model}', expected a config")
    if not is_ours(model):
        found = f"'{model}'" if isinstance(model, str | os.PathLike) else f'a {type(model).__name__}'
        raise ConfigError(
            f'model: found {found}, expected a CSSAClassifier, its config or its checkpoint; other models have '
            "mmpretrain's ImageClassificationInferencer"
        )


def _of_config(
    model: Any, pretrained: bool | str | os.PathLike | None, device: torch.device, options: dict[str, Any]
) -> tuple[CSSAClassifier, Config]:
    config = model if isinstance(model, Config) else None
    if config is None:
        config = Config.fromfile(model) if Path(model).suffix == '.py' else ModelHub.get(str(model)).config
    checkpoint = config.get('load_from') if pretrained is True else pretrained or None
    content = None if checkpoint is None else _state_dict(checkpoint)
    if content is not None and not config.model.get('class_names') and 'class_names' not in options:
        # Those of the training data, which need not be here.
        saved = read_description(content)
        options['class_names'] = ClassWords(tuple(saved['class_names']), tuple(map(tuple, saved['prompts'])))
    try:
        built = get_model(model, pretrained=False, **options)
        if content is not None:
            built.load_state_dict(content)
    except CSSAError as error:
        if content is None:
            raise
        # Its own tower, classes and head are in it.
        raise type(error)(f'{str(error).rstrip(".")}; or open the checkpoint alone, without the config') from error
    if content is None:
        _mark_untrained(built, config.filename or 'the config')
    if built.view is None:
        built.view = view_of(config)
    elif config.get('view') and view_of(config) != built.view:
        print_log(
            f'view: found {view_of(config)} in the config, but images are scored on {built.view}, which the checkpoint '
            'was trained with',
            'current',
            logging.WARNING,
        )
    built._dataset_meta = dict(classes=tuple(built.class_names))
    return built.to(device), built._config


def _was_only_built(model: CSSAClassifier) -> bool:
    """Whether nothing was learned and nothing loaded, as in `get_model(pretrained=False)`."""
    is_new = not int(model.teacher.steps) and not bool(model.head.bias_is_calibrated)
    return is_new and model.thresholds.rule == 'default'


def _mark_untrained(model: CSSAClassifier, name: str) -> None:
    print_log(
        f'model: found no checkpoint for {name}, so it is untrained and each image gets its best class alone; give one '
        'as pretrained=PATH',
        'current',
        logging.WARNING,
    )
    model.thresholds = ClassThresholds.none(len(model.class_names))


def _load(model: CSSAClassifier, checkpoint: str | os.PathLike) -> None:
    model.load_state_dict(_state_dict(checkpoint))


def _state_dict(checkpoint: str | os.PathLike) -> Mapping[str, Any]:
    content = read_checkpoint(checkpoint)
    state_dict = content.get('state_dict') if isinstance(content, Mapping) else None
    if not isinstance(state_dict, Mapping):
        raise CheckpointError(
            f"checkpoint: found '{checkpoint}' without a state_dict, expected a file that training wrote; take another"
        )
    return state_dict


def _refuse_options(options: Mapping[str, Any], what: str) -> None:
    if options:
        raise ConfigError(f"inferencer: found the option '{next(iter(options))}' for {what}, expected it for a config")
