"""Load a CLIP through open_clip, with clear errors where it would fail or be silently wrong."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from open_clip import factory
from safetensors import SafetensorError
from torch import Tensor, nn

from cssa_mm.errors import CheckpointError, ConfigError, nearest
from cssa_mm.files import DEMO_CLIP

Tokenizer = Callable[[list[str]], Tensor]  # P texts -> token ids (P, L)
UNLOADABLE = (
    RuntimeError, KeyError, ValueError, OSError, EOFError, AssertionError, pickle.UnpicklingError, SafetensorError,
)  # fmt: skip


@dataclass(frozen=True)
class LoadedCLIP:
    """A CLIP model with its tokenizer, its pixel statistics (0-1) and the hash of its weights.

    `source` tells where it came from: `pretrained` and `config_dir` (absolute where they are paths), and the
    `model_config` of a name that open_clip itself does not know.
    """

    name: str
    model: nn.Module
    tokenizer: Tokenizer
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights_hash: str
    source: dict[str, object]

    @property
    def visual(self) -> nn.Module:
        """The image tower."""
        return self.model.get_submodule('visual')

    def __deepcopy__(self, memo: dict) -> LoadedCLIP:
        return self


def load_open_clip(model_name: str, pretrained: str | None = None, config_dir: str | None = None) -> LoadedCLIP:
    """Load any open_clip model, on the CPU in float32.

    Args:
        model_name: a name of `open_clip.list_models()`, or one that a JSON file of `config_dir` defines.
        pretrained: an open_clip tag ('openai', 'laion2b_e16', ...), or the path of a checkpoint file; None
            leaves random weights, for tests only. `'demo'` stands for the micro-CLIP of this package.
        config_dir: a folder of open_clip model JSON files; a relative `bpe_path` in them counts from there.

    Raises:
        ConfigError: the name or tag is unknown, the folder holds no JSON, or the name lacks the `-quickgelu` that the
            weights need.
        CheckpointError: the checkpoint file is missing, unreadable or belongs to another tower, or the vocabulary is
            missing.
    """
    source = tower_source(model_name, pretrained, config_dir)
    if pretrained == 'demo':
        config_dir, pretrained = str(DEMO_CLIP), str(DEMO_CLIP / 'cssa_demo_rn.safetensors')
    _require_name(model_name, config_dir)
    _check_weights(model_name, pretrained)
    try:
        model = open_clip.create_model(model_name, pretrained=pretrained)
    except UNLOADABLE as error:
        raise CheckpointError(
            f"backbone.pretrained: found '{pretrained}' that cannot be loaded ({_first_line(error)}), expected weights "
            f"of '{model_name}'; give the model_name that they were trained with, or fetch the file again"
        ) from error
    statistics = open_clip.get_model_preprocess_cfg(model)
    return LoadedCLIP(
        name=model_name,
        model=model,
        tokenizer=_tokenizer(model_name, config_dir),
        mean=tuple(statistics.get('mean') or open_clip.OPENAI_DATASET_MEAN),
        std=tuple(statistics.get('std') or open_clip.OPENAI_DATASET_STD),
        weights_hash=_weights_hash(model),
        source=source,
    )


def load_tokenizer(model_name: str, pretrained: str | None = None, config_dir: str | None = None) -> Tokenizer:
    """The tokenizer of a tower, as `load_open_clip` takes it, without opening any weights.

    Raises:
        ConfigError: the name is unknown, or the folder holds no JSON.
        CheckpointError: the vocabulary is missing.
    """
    if pretrained == 'demo':
        config_dir = str(DEMO_CLIP)
    _require_name(model_name, config_dir)
    return _tokenizer(model_name, config_dir)


def _require_name(model_name: str, config_dir: str | None) -> None:
    if config_dir is not None:
        _add_configs(config_dir)
    if model_name not in open_clip.list_models():
        raise ConfigError(
            f"backbone.model_name: found '{model_name}', expected a name of open_clip.list_models() or of a JSON "
            f'file in backbone.config_dir.{nearest(model_name, open_clip.list_models())}'
        )


def tower_source(model_name: str, pretrained: str | None, config_dir: str | None) -> dict[str, object]:
    """Where to find a tower again, from any working directory."""
    if pretrained is not None and Path(pretrained).is_file():
        pretrained = str(Path(pretrained).absolute())
    model_file = None if config_dir is None else Path(config_dir, f'{model_name}.json')
    return dict(
        pretrained=pretrained,
        config_dir=None if config_dir is None else str(Path(config_dir).absolute()),
        model_config=json.loads(model_file.read_text('utf-8')) if model_file and model_file.is_file() else None,
    )


def _add_configs(config_dir: str) -> None:
    folder = Path(config_dir)
    if not any(folder.glob('*.json')):
        raise ConfigError(
            f'backbone.config_dir {folder}: found no *.json, expected a folder of open_clip model configs'
        )
    # The last folder that defines a name wins: another tower of that name may have been opened in between.
    if folder in factory._MODEL_CONFIG_PATHS:
        factory._MODEL_CONFIG_PATHS.remove(folder)
    open_clip.add_model_config(folder)


def _check_weights(model_name: str, pretrained: str | None) -> None:
    if pretrained is None:
        return
    tags = open_clip.list_pretrained_tags_by_model(model_name)
    if pretrained == 'openai' and model_name in ('RN50', 'RN101', 'RN50x4', 'RN50x16', 'RN50x64'):
        raise ConfigError(
            f"backbone.model_name: found '{model_name}' with OpenAI weights, which were trained with QuickGELU: "
            f"expected '{model_name}-quickgelu' (without it the features are silently wrong)"
        )
    if pretrained in tags:
        return
    if Path(pretrained).suffix or '/' in pretrained:
        if not Path(pretrained).is_file():
            raise CheckpointError(
                f"backbone.pretrained: found no file '{pretrained}', expected a CLIP checkpoint; correct the path"
            )
    else:
        raise ConfigError(
            f"backbone.pretrained: found '{pretrained}', expected a file or one of the tags of '{model_name}': "
            f'{", ".join(tags) or "none"}.{nearest(pretrained, tags)}'
        )


def _tokenizer(model_name: str, config_dir: str | None) -> Tokenizer:
    text_config = open_clip.get_model_config(model_name).get('text_cfg', {})
    bpe_path = text_config.get('tokenizer_kwargs', {}).get('bpe_path')
    if not bpe_path:
        return open_clip.get_tokenizer(model_name)
    vocabulary = Path(config_dir or '', bpe_path)
    if not vocabulary.is_file():
        raise CheckpointError(
            f"backbone.config_dir: found no vocabulary '{bpe_path}', which {model_name}.json names as bpe_path, "
            'expected the file; put both into one folder, that of the weights or backbone.config_dir'
        )
    return open_clip.get_tokenizer(model_name, bpe_path=str(vocabulary))


def _weights_hash(model: nn.Module) -> str:
    """The first 16 hex digits of the sha256 over all weights, independent of file format and dtype on disk."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _first_line(error: Exception) -> str:
    return ' '.join(str(error).split())[:200]
