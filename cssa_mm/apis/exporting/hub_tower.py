"""The tower of a model in its hub folder: what to say of it, and what of it goes along."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
from safetensors.torch import save

from cssa_mm.apis.exporting.hub_folder import TOWER
from cssa_mm.errors import ConfigError
from cssa_mm.files import write_json
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.tower_plan import TOKENIZER_FILES, config_file
from cssa_mm.models.tower_spec import HUB, LOCAL_DIR

# What a tokenizer of transformers may consist of.
TOKENIZER_PARTS = (
    *TOKENIZER_FILES, 'special_tokens_map.json', 'added_tokens.json', 'vocab.json', 'vocab.txt', 'merges.txt',
)  # fmt: skip
COPY = 'open_clip_model.safetensors'


def local_weights(model: CSSAClassifier) -> Path | None:
    """The file of this machine that holds the weights of a model's tower; None where they come from elsewhere."""
    pretrained = model.backbone.clip.source.get('pretrained')
    path = Path(str(pretrained)) if pretrained else None
    return path if path is not None and path.is_file() else None


def published_tower(model: CSSAClassifier, is_included: bool) -> dict[str, Any]:
    """The description of a model's tower without the paths of this machine."""
    tower = copy.deepcopy(model.backbone.description())
    weights = local_weights(model)
    if weights is not None:
        tower['pretrained'] = f'{TOWER}/{COPY if is_included else weights.name}'
    tower['config_dir'] = None
    text = _text_config(tower)
    kwargs = text.get('tokenizer_kwargs') or {}
    if kwargs.get('bpe_path'):
        text['tokenizer_kwargs'] = kwargs | dict(bpe_path=Path(kwargs['bpe_path']).name)
    if Path(text.get('hf_tokenizer_name') or '').is_absolute():
        text['hf_tokenizer_name'] = Path(text['hf_tokenizer_name']).name
    return tower


def write_tower(model: CSSAClassifier, tower: Mapping[str, Any], folder: Path, is_included: bool) -> None:
    """Write into a folder what open_clip does not know of a tower: its config, its vocabulary, and weights if asked.

    Args:
        tower: as `published_tower` describes it.
        is_included: write the weights too.
    """
    config, source = tower.get('model_config'), model.backbone.clip.source
    if config:
        write_json(Path(folder, config_file(tower['model_name'])), config)
        for path in _tokenizer_files(source):
            shutil.copyfile(path, Path(folder, path.name))
    weights = local_weights(model)
    if is_included and weights is not None:
        folder.mkdir(exist_ok=True)
        if weights.suffix == '.safetensors':
            shutil.copyfile(weights, Path(folder, COPY))
        else:  # no code, no pickles: the hub warns of both
            state = model.backbone.clip.model.state_dict()
            tensors = {name: value.detach().clone().contiguous() for name, value in state.items()}
            # save_file of newer safetensors lets no other user read the file.
            Path(folder, COPY).write_bytes(save(tensors, metadata=dict(format='pt')))


def check_included(model: CSSAClassifier) -> None:
    """Check that the weights of a model's tower can be copied.

    Raises:
        ConfigError: they are no file of this machine.
    """
    if local_weights(model) is None and model.backbone.clip.source.get('pretrained') != 'demo':
        raise ConfigError(
            f'--with-tower: found a tower that is no file on this machine ({where_to_get(model)}), expected one; leave '
            '--with-tower out: whoever loads the model fetches it from there'
        )


def where_to_get(model: CSSAClassifier) -> str:
    """In words, where the weights of a tower are to be had."""
    name, source = model.backbone.clip.name, model.backbone.clip.source
    pretrained = source.get('pretrained')
    if pretrained == 'demo':
        return 'it comes with the package cssa_mm'
    weights = local_weights(model)
    if weights is not None:
        return f'the file `{weights.name}`, which is not of a public source that this package knows'
    if name.startswith(HUB):
        return f'https://huggingface.co/{name.removeprefix(HUB)}, fetched when the model is loaded'
    entry = open_clip.get_pretrained_cfg(name, str(pretrained)) or {}
    address = f'https://huggingface.co/{entry["hf_hub"].rstrip("/")}' if entry.get('hf_hub') else entry.get('url', '')
    return f'`{name}`, `{pretrained}` of open_clip, fetched when the model is loaded{f" ({address})" * bool(address)}'


def base_model(model: CSSAClassifier) -> str | None:
    """The repository of the hub that the tower is, if it is one."""
    name = model.backbone.clip.name
    if name.startswith(HUB):
        return name.removeprefix(HUB)
    pretrained = model.backbone.clip.source.get('pretrained')
    entry = {} if name.startswith(LOCAL_DIR) else open_clip.get_pretrained_cfg(name, str(pretrained)) or {}
    return '/'.join(entry['hf_hub'].split('/')[:2]) if entry.get('hf_hub') else None


def _text_config(tower: Mapping[str, Any]) -> dict[str, Any]:
    config = tower.get('model_config') or {}
    return config.get('model_cfg', config).get('text_cfg') or {}


def _tokenizer_files(source: Mapping[str, Any]) -> list[Path]:
    """The vocabulary of a tower that lies on this machine."""
    text, folder = _text_config(source), Path(str(source.get('config_dir') or ''))
    vocabulary = (text.get('tokenizer_kwargs') or {}).get('bpe_path')
    found = [Path(folder, vocabulary)] if vocabulary else []
    if text.get('hf_tokenizer_name'):
        places = (folder, Path(folder, text['hf_tokenizer_name']))
        found += [Path(place, name) for place in places for name in TOKENIZER_PARTS]
    return [path for path in found if path.is_file()]
