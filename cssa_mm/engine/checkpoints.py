"""Checkpoints of plain data only, so that `torch.load(weights_only=True)` reads them with nothing allow-listed."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine import fileio
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.errors import CheckpointError

RESUMABLE = ('state_dict', 'meta', 'message_hub', 'optimizer')
PLAIN = (str, int, float, bool, type(None))


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Leaves mmengine's log buffers and the functions of schedules out: torch >= 2.6 refuses to load them.

    `CSSACheckpointHook` keeps the moving averages of the log as plain numbers.
    """

    priority = 'VERY_LOW'

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the plain runtime information, such as the best score so far, and the plain state of schedules."""
        hub = checkpoint['message_hub']
        information = {key: _as_python(value) for key, value in hub['runtime_info'].items()}
        information = {key: value for key, value in information.items() if isinstance(value, PLAIN)}
        resumed = {key: flag for key, flag in hub['resumed_keys'].items() if key in information}
        checkpoint['message_hub'] = dict(log_scalars={}, runtime_info=information, resumed_keys=resumed)
        if 'param_schedulers' in checkpoint:
            checkpoint['param_schedulers'] = [plain_entries(state) for state in checkpoint['param_schedulers']]


def plain_entries(state: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a schedule's state that are data, with nothing but lists and dicts around numbers and words."""
    return {key: _plain(value) for key, value in state.items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(item) for item in (*value, *value.values()))
    return all(map(_is_plain, value)) if isinstance(value, list | tuple) else isinstance(_as_python(value), PLAIN)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_as_python(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else _as_python(value)


def _as_python(value: object) -> object:
    """NumPy's scalars as Python's: np.float64 passes for a float, but torch refuses it like any other class."""
    return value.item() if isinstance(value, np.generic) else value


def read_checkpoint(path: str | os.PathLike) -> dict:
    """The content of a checkpoint, on the CPU.

    Args:
        path: a file, or an address that mmengine's storage backends read (https://, s3://).

    Raises:
        CheckpointError: the file is missing, or holds something other than plain data.
    """
    if not isinstance(path, str | os.PathLike):
        raise CheckpointError(
            f'checkpoint: found a {type(path).__name__}, expected the path of a file that training wrote'
        )
    source: str | os.PathLike | io.BytesIO = path
    if '://' in str(path):
        source = io.BytesIO(_fetched(str(path)))
    elif not Path(path).is_file():
        raise CheckpointError(f"checkpoint: found no file '{path}', expected one that training wrote; correct the path")
    try:
        content = torch.load(source, map_location='cpu', weights_only=True)
    # Unpickling broken bytes raises nearly anything.
    except Exception as error:
        raise CheckpointError(
            f"checkpoint: found '{path}' that cannot be loaded as plain data ({type(error).__name__}), expected a file "
            'that training wrote; copy it again or take another'
        ) from error
    states = content.get('state_dict', {}) if isinstance(content, Mapping) else None
    if not isinstance(states, Mapping):
        raise CheckpointError(
            f"checkpoint: found '{path}' without a state_dict (it holds {_kind(content)}), expected a file that "
            'training wrote; take another'
        )
    return content


def _kind(content: object) -> str:
    inner = content.get('state_dict') if isinstance(content, Mapping) else content
    return f'a {type(inner).__name__}'


def _fetched(address: str) -> bytes:
    try:
        return fileio.get(address)
    # Storage backends raise what they like.
    except Exception as error:
        raise CheckpointError(
            f"checkpoint: cannot fetch '{address}' ({type(error).__name__}: {' '.join(str(error).split())}), expected "
            'a file that training wrote; download it and give its path'
        ) from error


def read_resumable(path: str | os.PathLike) -> dict:
    """The content of a checkpoint that a training can go on from.

    Raises:
        CheckpointError: it is missing, unreadable or lacks what a resume needs.
    """
    content = read_checkpoint(path)
    missing = [key for key in RESUMABLE if not isinstance(content, dict) or key not in content]
    if missing:
        raise CheckpointError(
            f"checkpoint: found '{path}' without '{missing[0]}', expected all that a resume needs; to start from "
            'its weights only, drop --resume and add --cfg-options load_from=...'
        )
    return content
