"""Weights files as they are found: plain ones, and TorchScript archives, which hold code."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cssa_mm.errors import CheckpointError
from cssa_mm.files import replacing

# What TorchScript archives keep beside the weights.
NO_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size', 'attn_mask')
CONVERT = 'cssa towers --convert'


def is_torchscript(path: str | os.PathLike) -> bool:
    """Whether a file is a TorchScript archive: a zip with code in it, as OpenAI publishes its weights."""
    return any('/code/' in f'/{name}' and name.endswith('.py') for name in _names_in(path))


def recorded_activation(path: str | os.PathLike) -> str | None:
    """The activation that a weights file records: 'gelu', 'quickgelu' or None.

    A TorchScript archive records it by its code, a file that `convert_torchscript` wrote by its metadata.
    """
    if Path(path).suffix == '.safetensors':
        try:
            with safe_open(str(path), 'pt') as file:
                found = (file.metadata() or {}).get('activation')
        except (SafetensorError, OSError):
            return None  # loading the file will tell what is wrong with it
        return found if found in ('gelu', 'quickgelu') else None
    if not is_torchscript(path):
        return None
    with zipfile.ZipFile(path) as archive:
        code = b'\n'.join(archive.read(name) for name in _names_in(path) if name.endswith('.py'))
    return 'quickgelu' if b'QuickGELU' in code else 'gelu' if b'GELU' in code or b'torch.gelu' in code else None


def refuse_torchscript(path: str | os.PathLike) -> None:
    """Refuse a TorchScript archive: to open it is to trust the code in it.

    Raises:
        CheckpointError: the file is one.
    """
    if is_torchscript(path):
        raise CheckpointError(
            f'backbone.pretrained: found {path}, a TorchScript archive, which holds code (OpenAI publishes its weights '
            f'so), expected weights alone; convert it if you trust where it comes from: {CONVERT} {path} --out '
            f'{Path(path).stem}.safetensors (or set backbone.allow_torchscript=True)'
        )


def torchscript_weights(path: str | os.PathLike) -> dict[str, Tensor]:
    """The weights of a TorchScript archive, whose code is opened.

    Raises:
        CheckpointError: the file is no such archive, or is broken.
    """
    if not is_torchscript(path):
        raise CheckpointError(
            f'{path}: found no TorchScript archive, expected one such as OpenAI publishes; use it as it is'
        )
    try:
        state = torch.jit.load(os.fspath(path), map_location='cpu').state_dict()
    except (RuntimeError, OSError, ValueError) as error:
        raise CheckpointError(
            f'{path}: found a broken TorchScript archive ({" ".join(str(error).split())[:200]}), expected a whole one; '
            'fetch it again'
        ) from error
    return {
        name: value.detach().clone().contiguous()
        for name, value in state.items()
        if name.split('.')[-1] not in NO_WEIGHTS
    }


def convert_torchscript(path: str | os.PathLike, *, out: str | os.PathLike) -> str | None:
    """Write the weights of a TorchScript archive as .safetensors, which holds no code.

    Returns:
        The activation that the weights were trained with, as the archive's code tells; the new file records it.

    Raises:
        CheckpointError: the file is missing, broken or no TorchScript archive, or `out` does not end in .safetensors.
    """
    if Path(out).suffix != '.safetensors':
        raise CheckpointError(f"--out: found '{out}', expected a name that ends with .safetensors")
    if not Path(path).is_file():
        raise CheckpointError(f"--convert: found no file '{path}', expected a TorchScript archive; correct the path")
    weights, activation = torchscript_weights(path), recorded_activation(path)
    with replacing(out) as partial:
        save_file(weights, partial, metadata={'format': 'pt'} | ({'activation': activation} if activation else {}))
    return activation


def _names_in(path: str | os.PathLike) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return []
