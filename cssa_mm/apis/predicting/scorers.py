"""The model that predicts, by what a user names: a checkpoint, or a config for zero-shot CLIP."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import print_log

from cssa_mm.apis.config import load_config
from cssa_mm.apis.exporting.opening import open_scorer
from cssa_mm.apis.loading import untrained_model
from cssa_mm.apis.new_classes import NewClassScorer
from cssa_mm.apis.predicting.neighbours import NearbyImages
from cssa_mm.apis.scorer import Scorer, TorchScorer
from cssa_mm.apis.untrained import start_untrained
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.thresholds import ClassThresholds


class Opened(NamedTuple):
    """A model that predicts.

    scorer: the model.
    facts: its facts, with the name and the hash of what was opened.
    identity: part -> hash, which its shards carry.
    """

    scorer: Scorer
    facts: dict[str, Any]
    identity: dict[str, str]


def open_for_prediction(
    checkpoint: str | os.PathLike | None,
    config: str | os.PathLike | Config | None = None,
    *,
    tower: str | os.PathLike | None = None,
    new_classes: str | Sequence[str] | None = None,
    classes: str | Sequence[str] | None = None,
    neighbours: NearbyImages | None = None,
    device: str | torch.device | None = None,
) -> Opened:
    """Open a model that predicts.

    Args:
        checkpoint: what `open_scorer` opens; None opens the untrained model of `config`: zero-shot CLIP.
        config: a config, for `checkpoint` None alone.
        tower: of a checkpoint, new path of the weights of its tower; of a config, what `load_config` takes.
        new_classes: names that were never trained, or one text with commas between them.
        classes: for `checkpoint` None alone: class names, one text with commas between them, or a file of class names,
            in place of those of the config, which is 'cssa_table' by default. No labelled image is looked at.
        neighbours: for `checkpoint` None alone: the images whose scores all others lean on. The evidence of the config
            is left out.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.

    Raises:
        ConfigError: the arguments do not fit each other, or a class is named twice.
        CheckpointError: there is no such checkpoint.
    """
    names = [] if new_classes is None else new_class_names(new_classes)
    if checkpoint is not None:
        for name, given in (('classes', classes), ('neighbours', neighbours)):
            if given is not None:
                raise ConfigError(
                    f'{name}: found them beside a checkpoint, which has those of its training, expected them for '
                    '--checkpoint none alone; leave them out'
                )
        if config is not None:
            raise ConfigError(
                'config: found one beside a checkpoint, which holds all that it needs, expected one of the two; leave '
                'the config out, or give --checkpoint none'
            )
        scorer = open_scorer(checkpoint, tower=tower, device=device)
        content = _file_hash(Path(checkpoint))
        name = Path(checkpoint).name
    else:
        if config is None and classes is None:
            raise ConfigError(
                'config: found none for --checkpoint none, expected the config or folder whose classes and tower label '
                'the images; give --config, or --classes'
            )
        if names:  # before labelled images are scored for the thresholds
            raise _untrained_error(names)
        overrides = {} if classes is None else {'model.class_names': _class_source(classes)}
        read = load_config('cssa_table' if config is None else config, tower=tower, overrides=overrides)
        if neighbours is not None:
            read.model.update(evidence=None, neighbours=dict(type='Neighbours') | (read.model.get('neighbours') or {}))
        model = untrained_model(read, device=device)
        _start(model, read, neighbours, is_labelled=classes is None)
        scorer = TorchScorer(model, is_untrained=True)
        content = _hash([model.description(), model.head.bias.tolist()])
        name = f'none: zero-shot CLIP of {Path(read.filename).name if read.filename else "a config"}'
    if names:
        scorer = with_new_classes(scorer, names)
    if neighbours is not None:
        name += ', with neighbours among the images'
    facts = scorer.facts() | dict(checkpoint=dict(name=name, sha256=content))
    identity = dict(
        checkpoint=content,
        classes=_hash(list(scorer.class_names)),
        view=_hash(scorer.view.as_config()),
        tower=str(facts.get('tower', {}).get('weights_hash')),
        version=str(facts.get('made_by')),
    )
    if neighbours is not None:
        identity['neighbours'] = neighbours.digest()
    return Opened(scorer, facts, identity)


def _start(model: CSSAClassifier, config: Config, neighbours: NearbyImages | None, is_labelled: bool) -> None:
    """Give an untrained model its neighbours, and thresholds where labelled images tell them."""
    fit = None if neighbours is None else neighbours.fit
    try:
        if is_labelled:
            start_untrained(model, config, fit_neighbours=fit)
    except DataError as error:
        said = f'No labelled images say what the scores of zero-shot CLIP mean, so that they only rank ({error})'
        print_log(said, 'current', logging.WARNING)
        is_labelled = False
    model.eval()
    if neighbours is not None and model.neighbours is not None and not model.neighbours.is_fitted:
        neighbours.fit(model)
    if not is_labelled:
        model.thresholds = ClassThresholds.none(len(model.class_names))


def _class_source(classes: str | Sequence[str]) -> str | list[str]:
    """The names of classes; of one text, the file that it names, or what stands between its commas.

    Raises:
        ConfigError: there is none, or one is empty.
    """
    if isinstance(classes, str) and Path(classes).expanduser().is_file():
        return str(Path(classes).expanduser().absolute())
    return _names(classes, 'classes', 'dog, red kite')


def with_new_classes(scorer: Scorer, names: Sequence[str]) -> Scorer:
    """A scorer that scores classes of these names, too.

    Raises:
        ConfigError: it is no trained torch model.
    """
    if not isinstance(scorer, TorchScorer):
        raise ConfigError(
            f"new_classes: found '{names[0]}' for a model without its text tower, expected a checkpoint that training "
            'wrote; give the checkpoint, or leave them out'
        )
    if scorer.zero_shot_names:
        raise _untrained_error(names)
    return NewClassScorer(scorer.model, names)


def _untrained_error(names: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"new_classes: found '{names[0]}' for an untrained model, expected a trained one; add it to the classes of "
        'the config'
    )


def new_class_names(names: str | Sequence[str]) -> list[str]:
    """The names of new classes; one text is cut at its commas.

    Raises:
        ConfigError: there is none, or one is empty.
    """
    return _names(names, 'new_classes', 'owl, red kite')


def _names(names: str | Sequence[str], key: str, example: str) -> list[str]:
    found = [name.strip() for name in (names.split(',') if isinstance(names, str) else names)]
    if not found or not all(found):
        raise ConfigError(f"{key}: found {names!r}, expected names with commas between them, such as '{example}'")
    return found


def _file_hash(path: Path) -> str:
    """The hash of a file; of a folder, of all files in it; an address has that of its text."""
    digest = hashlib.sha256()
    if path.is_dir():
        for part in sorted(path.rglob('*')):
            if part.is_file():
                digest.update(f'{part.relative_to(path).as_posix()} {_file_hash(part)}\n'.encode())
    elif path.is_file():
        with path.open('rb') as file:
            while block := file.read(2**20):
                digest.update(block)
    else:
        digest.update(str(path).encode())
    return digest.hexdigest()


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
