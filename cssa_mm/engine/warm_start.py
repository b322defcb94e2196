"""`load_from` in a training: it starts anew from the prompts of a trained model."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.description import read_description
from cssa_mm.models.warm_start import WarmStart, warm_start
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook, bare_model

# Key of the runtime information that checkpoints hold: what a resumed run had started from.
STARTED_FROM = 'started_from'
SHOWN = 8


def start_from(runner: Runner, path: str) -> None:
    """Load what a new training takes over from a trained model, and say what that is; all ranks must call it.

    The config's `strict_classes` says whether the classes must be the same.

    Raises:
        CheckpointError: the file is no checkpoint of this tower and head, or, if strict, has other classes.
        ConfigError: `strict_classes` is neither True nor False.
    """
    strict = runner.cfg.get('strict_classes', True)
    if not isinstance(strict, bool):
        raise ConfigError(
            f'strict_classes: found {strict!r}, expected True, or False to keep the prompts of the classes of the same '
            'name'
        )
    content = read_checkpoint(path)
    runner.call_hook('after_load_checkpoint', checkpoint=content)
    model = bare_model(runner)
    start = warm_start(model, model.state_dict(), _state_dict(content), strict)
    model.load_state_dict(start.state)
    runner.message_hub.update_info(STARTED_FROM, path if '://' in path else os.path.abspath(path))
    keeps_bias = any(isinstance(hook, PseudoLabelHook) and not hook.settings.calibrate_bias for hook in runner.hooks)
    runner.logger.info(_line(start, path, model, keeps_bias))


def check_same_model(runner: Runner, content: Any) -> None:
    """Check that a run goes on with the model of a checkpoint, before anything else of the two is compared.

    Raises:
        CheckpointError: tower, classes or options differ; the message names the first difference.
    """
    bare_model(runner).refuse_other_model(read_description(_state_dict(content)))


def started_from(runner: Runner) -> str | None:
    """The checkpoint whose prompts a run started from, maybe before it was resumed; None for a fresh model."""
    return runner.message_hub.runtime_info.get(STARTED_FROM)


def start_of_resumed(runner: Runner, fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model, by its entries, as a run that is resumed had started; `fresh` are those that it was built with."""
    path = started_from(runner)
    if path is None:
        return dict(fresh)
    try:
        trained = _state_dict(read_checkpoint(path))
        start = warm_start(bare_model(runner), fresh, trained, strict_classes=False)
    except CheckpointError as error:
        print_log(
            f'Calibration: the run started from {path}, which is not there as it was ({error}); models for held-out '
            'labels start from fresh prompts',
            'current',
            logging.WARNING,
        )
        return dict(fresh)
    return {name: start.state[name] for name in fresh}


def _state_dict(content: Any) -> dict[str, Tensor]:
    """The state dict of a checkpoint's content, or the content itself, without the prefix of a distributed wrapper."""
    state = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f'checkpoint: found a {type(content).__name__} without a state_dict, expected what training wrote'
        )
    return {re.sub(r'^module\.', '', name): value for name, value in state.items()}


def _line(start: WarmStart, path: str, model: CSSAClassifier, keeps_bias: bool) -> str:
    whose = 'which all classes share' if start.is_shared else f'of {len(start.kept)} classes'
    classes = [f'kept the prompts {whose} of {path}' if not start.is_shared else f'kept the prompts of {path}, {whose}']
    for what, names in (('new', start.new), ('dropped', start.dropped), ('worded anew', start.reworded)):
        if names:
            classes.append(f'{what}: {_listed(names)}')
    anew = ['' if keeps_bias else 'bias', 'taught classes', 'contexts' if model.context_head is not None else '']
    anew += ['evidence' if model.evidence is not None else '', 'thresholds', 'calibration']
    return (
        f'Warm start: {"; ".join(classes)}. Made anew from the labels of this run: {", ".join(filter(None, anew))}; '
        'optimiser and steps of the teacher start anew'
    )


def _listed(names: Sequence[str]) -> str:
    return ', '.join(names[:SHOWN]) + (f' and {len(names) - SHOWN} more' if len(names) > SHOWN else '')
