"""Load a CLIP through open_clip, with clear errors where it would fail or be silently wrong."""

from __future__ import annotations

import hashlib
import pickle  # nosec B403 # its exception alone
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip import factory
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from cssa_mm.errors import CheckpointError
from cssa_mm.models.tower_hub import fetch_tag, tokenizer_within_reach, within_reach
from cssa_mm.models.tower_plan import TowerPlan, plan_tower
from cssa_mm.models.tower_weights import is_torchscript, refuse_torchscript, torchscript_weights

Tokenizer = Callable[[list[str]], Tensor]  # P texts -> token ids (P, L)
UNLOADABLE = (
    RuntimeError, KeyError, ValueError, TypeError, OSError, EOFError, AssertionError, pickle.UnpicklingError,
    SafetensorError,
)  # fmt: skip


@dataclass(frozen=True)
class LoadedCLIP:
    """A CLIP model with its tokenizer, its pixel statistics (0-1) and the hash of its weights.

    `source` tells where it came from: `pretrained` and `config_dir` (absolute where they are paths), the `model_config`
    of a name that open_clip itself does not know, and the `activation` if it is not that of the name.
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


def load_open_clip(
    model_name: str,
    pretrained: str | None = None,
    config_dir: str | None = None,
    activation: str | None = None,
    allow_torchscript: bool = False,
) -> LoadedCLIP:
    """Load any open_clip model, on the CPU in float32.

    Args:
        model_name: a name of `open_clip.list_models()`, or one that a JSON file of `config_dir` defines, each also
            with `-gelu` or `-quickgelu` at its end; or `hf-hub:ORG/NAME` or `local-dir:FOLDER`.
        pretrained: an open_clip tag ('openai', 'laion2b_e16', ...), or the path of a checkpoint file; None
            leaves random weights, for tests only. `'demo'` stands for the micro-CLIP of this package.
        config_dir: a folder of open_clip model JSON files; a relative `bpe_path` in them counts from there.
        activation: 'gelu' or 'quickgelu', whatever name, tag and file say; None goes by them.
        allow_torchscript: open a TorchScript archive, which holds code.

    Raises:
        ConfigError: the name or tag is unknown, the folder holds no JSON, or the activation is open or wrong.
        CheckpointError: the checkpoint file is missing, unreadable or belongs to another tower, the vocabulary is
            missing, or a download fails.
    """
    plan = plan_tower(model_name, pretrained, config_dir, activation)
    if plan.weights is not None and plan.tag is None and not allow_torchscript:
        refuse_torchscript(plan.weights)
    with _defined(plan), _plain_file(plan) as weights:
        tokenizer = _tokenizer(plan)  # first: it is small, and may have to be downloaded
        model = _build(plan, weights)
    statistics = open_clip.get_model_preprocess_cfg(model)
    return LoadedCLIP(
        name=plan.name,
        model=model,
        tokenizer=tokenizer,
        mean=tuple(statistics.get('mean') or open_clip.OPENAI_DATASET_MEAN),
        std=tuple(statistics.get('std') or open_clip.OPENAI_DATASET_STD),
        weights_hash=_weights_hash(model),
        source=plan.source,
    )


def load_tokenizer(model_name: str, pretrained: str | None = None, config_dir: str | None = None) -> Tokenizer:
    """The tokenizer of a tower, as `load_open_clip` takes it, without opening any weights.

    Raises:
        ConfigError: the name is unknown, or the folder holds no JSON.
        CheckpointError: the vocabulary is missing.
    """
    plan = plan_tower(model_name, pretrained, config_dir)
    with _defined(plan):
        return _tokenizer(plan)


@contextmanager
def _defined(plan: TowerPlan) -> Iterator[None]:
    """Within the block open_clip knows the tower by its name; afterwards it knows what it did before."""
    before = factory._MODEL_CONFIGS.get(plan.built_as)
    factory._MODEL_CONFIGS[plan.built_as] = plan.model_config
    try:
        yield
    finally:
        factory._MODEL_CONFIGS.pop(plan.built_as)
        if before is not None:
            factory._MODEL_CONFIGS[plan.built_as] = before


@contextmanager
def _plain_file(plan: TowerPlan) -> Iterator[str | None]:
    """The weights in a form that open_clip reads without opening code."""
    if plan.weights is None or plan.tag is not None or not is_torchscript(plan.weights):
        yield plan.weights
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'weights.safetensors')
        save_file(torchscript_weights(plan.weights), path)
        yield str(path)


def _build(plan: TowerPlan, weights: str | None) -> nn.Module:
    try:
        with within_reach(plan.name, plan.tag):
            if plan.tag is not None:
                fetch_tag(plan.built_as, plan.tag)
            return open_clip.create_model(
                plan.built_as, pretrained=weights, force_preprocess_cfg=plan.preprocess or None
            )
    except UNLOADABLE as error:
        raise CheckpointError(
            f"backbone.pretrained: found '{plan.weights}' that cannot be loaded ({_first_line(error)}), expected "
            f"weights of '{plan.name}'; give the model_name that they were trained with, or fetch the file again"
        ) from error


def _tokenizer(plan: TowerPlan) -> Tokenizer:
    text_config: dict[str, Any] = plan.model_config.get('text_cfg', {})
    bpe_path = text_config.get('tokenizer_kwargs', {}).get('bpe_path')
    if not bpe_path:
        with tokenizer_within_reach(plan.name, text_config.get('hf_tokenizer_name')):
            return open_clip.get_tokenizer(plan.built_as)
    vocabulary = Path(plan.folder or '', bpe_path)
    if not vocabulary.is_file():
        raise CheckpointError(
            f"backbone.config_dir: found no vocabulary '{bpe_path}', which {plan.name}.json names as bpe_path, "
            'expected the file; put both into one folder, that of the weights or backbone.config_dir'
        )
    return open_clip.get_tokenizer(plan.built_as, bpe_path=str(vocabulary))


def _weights_hash(model: nn.Module) -> str:
    """The first 16 hex digits of the sha256 over all weights, independent of file format and dtype on disk."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _first_line(error: Exception) -> str:
    return ' '.join(str(error).split())[:200]
