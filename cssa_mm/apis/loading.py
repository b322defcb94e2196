"""Open a trained model from its checkpoint alone, or build an untrained one from class names."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from mmpretrain.registry import MODELS

from cssa_mm.apis.exporting.hub_folder import read_hub_folder
from cssa_mm.apis.predicting.neighbours import NearbyImages
from cssa_mm.apis.predicting.sources import Images, find_images
from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.engine.runner import checked_device
from cssa_mm.errors import CheckpointError, CSSAError, DataError
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.class_names import given_classes
from cssa_mm.models.description import read_description
from cssa_mm.models.thresholds import ClassThresholds
from cssa_mm.models.tower_plan import config_file, trained_activation

WORDS = 'a photo of a'
VIEW_SIZE = 224
TOWER_OPTIONS = ('model_name', 'pretrained', 'config_dir', 'dense', 'global_token', 'precision')


def load_model(
    checkpoint: str | os.PathLike,
    *,
    tower: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
) -> CSSAClassifier:
    """Open a trained model from its checkpoint and the tower that it was trained with, without a config.

    Args:
        checkpoint: a file that training wrote, or a folder that `export_hub` wrote.
        tower: new path of the weights of the tower, if they were moved; their hash is checked.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.

    Returns:
        The model in eval mode, with `class_names`, `view` (what images are scored on) and `thresholds`.

    Raises:
        CheckpointError: the file is missing, unreadable, of another kind or of an earlier format, or the tower is
            missing or another one.
        ConfigError: the machine has no such device.

    Examples:
        >>> import cssa_mm
        >>> model = cssa_mm.load_model('work_dirs/cssa_demo/epoch_162.pth')  # doctest: +SKIP
        >>> model.class_names[:2]  # doctest: +SKIP
        ['anchor', 'atom']
    """
    if Path(checkpoint).is_dir():
        content: Any = dict(state_dict=read_hub_folder(checkpoint))
    else:
        content = read_checkpoint(checkpoint)
    state_dict = content.get('state_dict') if isinstance(content, Mapping) else None
    if not isinstance(state_dict, Mapping):
        raise CheckpointError(
            f"checkpoint: found '{checkpoint}' without a state_dict, expected a file that training wrote; take another"
        )
    description = read_description(state_dict)
    model = _build(description, tower)
    try:
        model.load_state_dict(state_dict)
    except (RuntimeError, TypeError, ValueError) as error:  # torch's of values that it cannot take over
        raise CheckpointError(
            f"checkpoint: found '{checkpoint}' with values that do not fit ({' '.join(str(error).split())[:200]}), "
            'expected the file that training wrote; copy it again'
        ) from error
    return model.to(checked_device(device)).eval()


def zero_shot(
    *,
    class_names: Sequence[str] | Mapping[str, str | Sequence[str]],
    model_name: str,
    pretrained: str | os.PathLike | None,
    config_dir: str | os.PathLike | None = None,
    size: int | Sequence[int] | None = VIEW_SIZE,
    attention_temperature: float = 20.0,
    neighbours: Images | None = None,
    device: str | torch.device | None = None,
) -> CSSAClassifier:
    """A model that was never trained: CLIP's own answer with the prompt "a photo of a NAME" and label attention.

    Its scores rank the images of a class, but no label has calibrated them. So it has no thresholds, and `Predictor`
    gives each image its best class as label.

    Args:
        class_names: C names, in words that a caption would use; or a dict name -> such words, one wording or several.
        model_name: open_clip name of the tower.
        pretrained: open_clip tag, weights file, or 'demo' for the micro-CLIP of this package.
        config_dir: folder of open_clip model JSON files that define `model_name`.
        size: images are resized to this: a square's side, (height, width), or None for their own size.
        attention_temperature: tau_s of the label attention.
        neighbours: photos without labels, as `cssa_mm.predict` takes them (a folder, a pattern, a list, paths). They
            are encoded now, and each photo that is scored leans on what CLIP says of those that look like it
            (`Neighbours`); photos that are scored may be among them. None: each photo is scored alone.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.

    Raises:
        ConfigError: the tower is unknown, or class names are missing, empty, repeated or too long.
        CheckpointError: the weights are missing or belong to another tower.
        DataError: there is no photo in `neighbours`, or no two that can be read.

    Examples:
        >>> import cssa_mm
        >>> names = ['anchor', 'coffee', 'flag']
        >>> model = cssa_mm.zero_shot(class_names=names, model_name='cssa-demo-rn', pretrained='demo', size=None)
        >>> model.class_names
        ['anchor', 'coffee', 'flag']

        Photos that lean on each other:

        >>> import os, tempfile, numpy as np
        >>> from PIL import Image
        >>> folder = tempfile.mkdtemp()
        >>> for number in range(4):
        ...     pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        ...     Image.fromarray(pixels).save(os.path.join(folder, f'{number}.png'))
        >>> options = dict(class_names=names, model_name='cssa-demo-rn', pretrained='demo', size=64)
        >>> model = cssa_mm.zero_shot(neighbours=folder, **options)
        >>> len(model.neighbours.keys)
        4
    """
    words = given_classes(class_names, 'class_names')
    init_default_scope('mmpretrain')
    backbone = dict(
        type='OpenCLIPBackbone',
        model_name=model_name,
        pretrained=None if pretrained is None else os.fspath(pretrained),
        config_dir=None if config_dir is None else os.fspath(config_dir),
    )
    prompts = dict(num_context=len(WORDS.split()), initial_words=WORDS)
    model = MODELS.build(
        dict(
            type='CSSAClassifier',
            backbone=backbone,
            class_names=words,
            head=dict(prompts=prompts, shared_prompts=True, attention_temperature=attention_temperature),
            neighbours=None if neighbours is None else dict(type='Neighbours'),
            view=dict(type='View', size=size),
        )
    )
    model.thresholds = ClassThresholds.none(len(model.class_names))
    model = model.to(checked_device(device)).eval()
    if neighbours is not None:
        images = find_images(neighbours)
        NearbyImages(images).fit(model)
        if not model.neighbours.is_fitted:
            raise DataError(
                f'neighbours: found no two of {len(images):,} images in {images.source} that can be read, expected '
                'the photos that others lean on'
            )
    return model


def untrained_model(config: Config, *, device: str | torch.device | None = None) -> CSSAClassifier:
    """The model of a config as training would start it, on a device, in eval mode.

    Args:
        config: a config from `load_config`.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.
    """
    init_default_scope('mmpretrain')
    # Seeded as by the Runner: prompts may start from random vectors.
    set_random_seed((config.get('randomness') or {}).get('seed') or 0)
    return MODELS.build(config.model).to(checked_device(device)).eval()


def _build(description: Mapping[str, Any], tower: str | os.PathLike | None) -> CSSAClassifier:
    """The model that a checkpoint describes, with the weights of its tower alone."""
    init_default_scope('mmpretrain')
    model_config = description['tower']['model_config']
    options = {key: description['tower'][key] for key in TOWER_OPTIONS}
    options['activation'] = trained_activation(description['tower'])
    if tower is not None:
        if not Path(tower).is_file():
            raise CheckpointError(f"tower: found no file '{tower}', expected the weights of {options['model_name']}")
        options['pretrained'] = os.fspath(tower)
    _require_weights(options)
    # Weights are drawn before those of the checkpoint take their place: the caller's random numbers stay as they are.
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        options['config_dir'] = _config_dir(options, model_config, folder)
        config = dict(
            type='CSSAClassifier',
            backbone=dict(type='OpenCLIPBackbone') | options,
            class_names=ClassWords(tuple(description['class_names']), tuple(map(tuple, description['prompts']))),
            **{key: description[key] for key in ('head', 'context_head', 'evidence', 'neighbours', 'view')},
        )
        try:
            return MODELS.build(config)
        except CSSAError:
            raise
        except Exception as error:  # an unknown keyword, or whatever a value of another type does to our parts
            raise CheckpointError(
                f'checkpoint: found options that this version does not know ({" ".join(str(error).split())}), expected '
                'those of its own parts; update cssa_mm'
            ) from error


def _require_weights(options: Mapping[str, Any]) -> None:
    pretrained = options['pretrained'] or ''
    is_path = '/' in pretrained or bool(Path(pretrained).suffix)  # else an open_clip tag
    if is_path and not Path(pretrained).is_file():
        raise CheckpointError(
            f"tower: found no file '{pretrained}', expected the weights of {options['model_name']} that the checkpoint "
            'names; give their new path as tower=PATH'
        )


def _config_dir(options: Mapping[str, Any], model_config: Mapping | None, folder: str) -> str | None:
    """The folder with the tower's model JSON: where it was, beside the weights, or written from the checkpoint."""
    if model_config is None:
        return None
    name = config_file(options['model_name'])
    places = [options['config_dir'], os.path.dirname(options['pretrained'] or '')]
    for place in places:
        if place and Path(place, name).is_file():
            return place
    Path(folder, name).write_text(json.dumps(model_config), 'utf-8')
    return folder
