"""Bring a checkpoint of an earlier format up to date."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from cssa_mm.datasets.view import View
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.engine.config_text import UNREADABLE, read_sections
from cssa_mm.errors import CheckpointError
from cssa_mm.files import replacing
from cssa_mm.models.description import (
    FORMAT,
    KEY,
    check_registered,
    decode_description,
    encode_description,
    with_defaults,
)
from cssa_mm.models.thresholds import ClassThresholds
from cssa_mm.models.tower_plan import tower_source

PARTS = dict(
    head='LabelAlignmentHead', context_head='ContextHead', evidence='DiscriminantEvidence', neighbours='Neighbours'
)
READ = ('model', 'val_dataloader', 'test_dataloader')  # keys of the config
BACKBONE = dict(dense='value', global_token=True, precision='fp32')
RESIZE = dict(interpolation='bilinear', backend='cv2')  # mmcv's defaults


def convert_checkpoint(checkpoint: str | os.PathLike, *, out: str | os.PathLike | None = None) -> Path:
    """Write a checkpoint of format 1 in today's format; missing entries are read from the config inside it.

    Args:
        checkpoint: the old file.
        out: the new file; NAME-format4.pth beside the old one by default.

    Returns:
        The path of the new file.

    Raises:
        CheckpointError: the file is missing, unreadable or not of format 1, or holds no readable config.

    Examples:
        >>> import cssa_mm
        >>> from cssa_mm.apis.conversion import convert_checkpoint
        >>> path = convert_checkpoint('old/epoch_162.pth')  # doctest: +SKIP
        >>> model = cssa_mm.load_model(path)  # doctest: +SKIP
    """
    content = read_checkpoint(checkpoint)
    state_dict = content.get('state_dict') if isinstance(content, Mapping) else None
    state = state_dict.get(KEY) if isinstance(state_dict, Mapping) else None
    if not isinstance(state, Tensor):
        raise CheckpointError(f"checkpoint: found '{checkpoint}' that is not of a CSSAClassifier, expected format 1")
    saved = decode_description(state)
    found = saved.get('format', 1)
    if found != 1:
        raise CheckpointError(f"checkpoint: found '{checkpoint}' of format {found}, expected format 1; use it as it is")
    if 'model_name' not in saved.get('tower', {}) or 'class_names' not in saved:
        raise CheckpointError(f"checkpoint: found '{checkpoint}' that names no tower and classes, expected format 1")
    config = _read_config((content.get('meta') or {}).get('cfg') or '', checkpoint)
    model = config['model']
    tower = {key: model['backbone'].get(key, value) for key, value in BACKBONE.items()}
    source = (model['backbone'].get('pretrained'), model['backbone'].get('config_dir'))
    description = dict(
        format=FORMAT,
        tower=saved['tower'] | tower | tower_source(saved['tower']['model_name'], *source),
        class_names=saved['class_names'],
        **{key: None if model.get(key, {}) is None else _options(key, model) for key in PARTS},
        view=_view_of(config, checkpoint),
        thresholds=ClassThresholds.default(len(saved['class_names'])).to_dict(),
    )
    content['state_dict'][KEY] = encode_description(description)
    path = Path(out or Path(checkpoint).with_name(f'{Path(checkpoint).stem}-format{FORMAT}.pth'))
    with replacing(path) as partial:
        torch.save(content, partial)
    return path


def _options(part: str, model: Mapping[str, Any]) -> dict | None:
    # A config without another part means that the model had none; it always has a head.
    if part != 'head' and part not in model:
        return None
    options = {'type': PARTS[part]} | (model.get(part) or {})
    check_registered(f'model.{part}', options, MODELS)
    return with_defaults(PARTS[part], options)


def _view_of(config: Mapping[str, Any], checkpoint: str | os.PathLike) -> dict:
    """The plain view: that of the validation or test data, loaded and at most resized."""
    loader = config.get('val_dataloader') or config.get('test_dataloader') or {}
    steps = [step for step in loader.get('dataset', {}).get('pipeline', ()) if step['type'] != 'PackInputs']
    kinds = [step['type'] for step in steps]
    if kinds == ['LoadRGBImage']:
        return View(size=None).as_config()
    if kinds == ['LoadRGBImage', 'Resize'] and {'scale'} <= set(steps[1]) - {'type'} <= {'scale', *RESIZE}:
        options = RESIZE | {key: value for key, value in steps[1].items() if key != 'type'}
        scale = options.pop('scale')
        # mmcv's order is (width, height).
        return View(size=scale[::-1] if isinstance(scale, list) else scale, **options).as_config()
    raise CheckpointError(
        f"checkpoint: found '{checkpoint}' with the test pipeline {', '.join(kinds) or 'empty'}, expected "
        'LoadRGBImage and at most a Resize to a scale; train again'
    )


def _read_config(text: str, checkpoint: str | os.PathLike) -> dict[str, Any]:
    """The assignments of a config's text, read as data: no code of a checkpoint is ever run."""
    try:
        found = read_sections(text, READ)
        found['model']['backbone'].get('pretrained')
    except UNREADABLE as error:
        raise CheckpointError(
            f"checkpoint: found '{checkpoint}' with no readable config ({type(error).__name__}), expected the one that "
            'it was trained with; train again'
        ) from error
    return found
