"""What is known of a tower before its weights are read: its config, its activation and where its weights lie."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip

from cssa_mm.errors import CheckpointError, ConfigError, nearest
from cssa_mm.files import DEMO_CLIP
from cssa_mm.models import activation as activations
from cssa_mm.models.tower_hub import fetch_from_hub
from cssa_mm.models.tower_spec import HUB, HUB_CONFIG, HUB_WEIGHTS, LOCAL_DIR, models_in, weights_in
from cssa_mm.models.tower_weights import recorded_activation
from cssa_mm.models.towers.support import EXTRA, has_transformers, image_refusal, needs_transformers, text_refusal

TOKENIZER_FILES = ('tokenizer.json', 'tokenizer_config.json', 'spiece.model', 'tokenizer.model')
HUB_TOWER = 'hub-tower'  # what open_clip builds a tower by whose config is not its own


@dataclass(frozen=True)
class TowerPlan:
    """A tower that can be built.

    Attributes:
        name: its name, as a checkpoint keeps it.
        built_as: the name that open_clip builds it by.
        model_config: open_clip's model config, with the activation that the tower gets.
        preprocess: pixel statistics and the like that come with the config.
        weights: a tag or a file; None for random weights.
        folder: the folder that relative paths in the config count from; None for none.
        source: where to find it again (`tower_source`).
    """

    name: str
    built_as: str
    model_config: dict[str, Any]
    preprocess: dict[str, Any]
    weights: str | None
    folder: str | None
    source: dict[str, Any]

    @property
    def tag(self) -> str | None:
        """The tag of open_clip that the weights are, if they are one."""
        is_tag = self.weights is not None and activations.of_tag(self.built_as, self.weights) is not None
        return self.weights if is_tag else None


def plan_tower(
    model_name: str, pretrained: str | None = None, config_dir: str | None = None, activation: str | None = None
) -> TowerPlan:
    """Find the config and the weights of a tower, and settle its activation; arguments as `load_open_clip` has them.

    Raises:
        ConfigError: the name or tag is unknown, the folder holds no JSON, or the activation is open or wrong.
        CheckpointError: the weights are missing, or a download fails.
    """
    if activation not in (None, *activations.ACTIVATIONS):
        raise ConfigError(f"backbone.activation: found '{activation}', expected None, 'gelu' or 'quickgelu'")
    if model_name.startswith((HUB, LOCAL_DIR)):
        return _plan_of_hub(model_name, pretrained, config_dir, activation)
    source = tower_source(model_name, pretrained, config_dir)
    if pretrained == 'demo':
        config_dir, pretrained = str(DEMO_CLIP), str(DEMO_CLIP / 'cssa_demo_rn.safetensors')
    own = _own_models(config_dir)
    known = {name: None for name in open_clip.list_models()} | own
    name, suffix = activations.split_suffix(model_name, known)
    if name not in known:
        raise ConfigError(
            f"backbone.model_name: found '{model_name}', expected a name of open_clip.list_models() or of a JSON "
            f'file in backbone.config_dir.{nearest(model_name, known)}'
        )
    family = own if name in own else {other: open_clip.get_model_config(other) for other in open_clip.list_models()}
    if pretrained is not None and source['pretrained'] != 'demo':
        _check_weights(name, pretrained, None if activation else family, suffix)
    check_supported(name, family[name])
    config, changed = _with_activation(family[name], activation or suffix)
    _find_tokenizer(config, config_dir)
    if name != model_name:
        source = tower_source(name, pretrained, config_dir)
    return TowerPlan(name, name, config, {}, pretrained, config_dir, source | changed)


def tower_source(model_name: str, pretrained: str | None, config_dir: str | None) -> dict[str, Any]:
    """Where to find a tower again, from any working directory."""
    if pretrained is not None and Path(pretrained).is_file():
        pretrained = str(Path(pretrained).absolute())
    model_file = None if config_dir is None else Path(config_dir, config_file(model_name))
    return dict(
        pretrained=pretrained,
        config_dir=None if config_dir is None else str(Path(config_dir).absolute()),
        model_config=json.loads(model_file.read_text('utf-8-sig')) if model_file and model_file.is_file() else None,
    )


def config_file(model_name: str) -> str:
    """The name of the JSON file that holds the config of a tower."""
    return HUB_CONFIG if model_name.startswith((HUB, LOCAL_DIR)) else f'{model_name}.json'


def trained_activation(tower: Mapping[str, Any]) -> str | None:
    """The activation of the tower that a checkpoint describes: forced, or that of its config; None if it is unknown."""
    if tower.get('activation'):
        return tower['activation']
    config = (
        tower.get('model_config')
        or open_clip.list_models().count(tower['model_name'])
        and (open_clip.get_model_config(tower['model_name']))
    )
    return activations.of_config(config.get('model_cfg', config)) if isinstance(config, Mapping) else None


def check_supported(name: str, model_config: Mapping[str, Any]) -> None:
    """Refuse, before any download, a tower that cannot be used here.

    Raises:
        ConfigError: it cannot, or its tokenizer needs a package that is missing.
    """
    refusal = image_refusal(model_config) or text_refusal(model_config)
    if refusal:
        raise ConfigError(
            f"backbone.model_name '{name}': found {refusal}, expected another tower; cssa towers tells which"
        )
    if needs_transformers(name, model_config) and not has_transformers():
        raise ConfigError(
            f"backbone.model_name '{name}': found no package transformers, which its tokenizer needs, expected it; "
            f'install it: {EXTRA}'
        )


def _with_activation(config: Mapping[str, Any], wanted: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """A config with the wanted activation, and what a checkpoint says of it: nothing unless it is a change."""
    own: dict[str, Any] = copy.deepcopy(dict(config))
    if wanted in (None, activations.of_config(config)):
        return own, {}
    return own | dict(quick_gelu=wanted == 'quickgelu'), dict(activation=str(wanted))


def _find_tokenizer(config: dict[str, Any], folder: str | None) -> None:
    """Take a tokenizer of transformers from the tower's own folder, if it lies there or in a folder that it names."""
    text = config['text_cfg']
    if folder is None or not text.get('hf_tokenizer_name'):
        return
    places = (Path(folder), Path(folder, text['hf_tokenizer_name']))
    found = [place for place in places if any(Path(place, name).is_file() for name in TOKENIZER_FILES)]
    if found:
        text['hf_tokenizer_name'] = str(found[-1].absolute())


def _own_models(config_dir: str | None) -> dict[str, Any]:
    if config_dir is None:
        return {}
    if not any(Path(config_dir).glob('*.json')):
        raise ConfigError(
            f'backbone.config_dir {config_dir}: found no *.json, expected a folder of open_clip model configs'
        )
    return models_in(Path(config_dir))


def _check_weights(name: str, pretrained: str, family: Mapping[str, Any] | None, suffix: str | None) -> None:
    """Check that the weights exist and, with the configs of the family, that they have the tower's activation."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    if family is not None:
        activations.check_tag(name, pretrained, suffix, family)
    if pretrained in tags:
        return
    if Path(pretrained).suffix or '/' in pretrained:
        _check_file(name, pretrained, family, suffix)
    else:
        raise ConfigError(
            f"backbone.pretrained: found '{pretrained}', expected a file or one of the tags of '{name}': "
            f'{", ".join(tags) or "none"}.{nearest(pretrained, tags)}'
        )


def _check_file(name: str, path: str, family: Mapping[str, Any] | None, suffix: str | None) -> None:
    if not Path(path).is_file():
        raise CheckpointError(
            f"backbone.pretrained: found no file '{path}', expected a CLIP checkpoint; correct the path"
        )
    if family is not None:
        activations.check_file(name, path, recorded_activation(path), suffix, family)


def _plan_of_hub(model_name: str, pretrained: str | None, config_dir: str | None, activation: str | None) -> TowerPlan:
    """A tower as the Hugging Face hub has it: the config, with its activation, comes with the weights."""
    scheme, place = model_name.split(':', 1)
    if not place:
        raise ConfigError(f"backbone.model_name: found '{model_name}', expected hf-hub:ORG/NAME or local-dir:FOLDER")
    if pretrained is not None and not Path(pretrained).is_file():
        raise ConfigError(
            f"backbone.pretrained: found '{pretrained}' beside the name '{model_name}', which brings its own weights, "
            'expected None (or a file of these weights)'
        )
    is_local, is_given = f'{scheme}:' == LOCAL_DIR, pretrained is not None
    folder = config_dir or (place if is_local else None)
    path = Path(folder, HUB_CONFIG) if folder else Path(fetch_from_hub(place, HUB_CONFIG))
    if not path.is_file():
        raise CheckpointError(
            f"backbone.model_name '{model_name}': found no {path}, expected the folder of a model as the hub has it"
        )
    try:
        content = json.loads(path.read_text('utf-8-sig'))
        model_config, preprocess = content['model_cfg'], content.get('preprocess_cfg') or {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f'{path}: found no model_cfg ({error!r}), expected an open_clip config; mend it'
        ) from error
    check_supported(model_name, model_config)
    if pretrained is None:
        pretrained = str(weights_in(Path(place), HUB_WEIGHTS)) if is_local and Path(place).is_dir() else None
        pretrained = pretrained or fetch_from_hub(place)
    elif activation is None and recorded_activation(pretrained) not in (None, activations.of_config(model_config)):
        raise ConfigError(
            f"backbone.model_name: found '{model_name}' with {pretrained}, which was trained with another activation, "
            "expected weights of this tower, or backbone.activation='gelu' or 'quickgelu'"
        )
    config, changed = _with_activation(model_config, activation)
    _find_tokenizer(config, folder)
    name = f'{LOCAL_DIR}{Path(place).absolute().name}' if is_local else model_name
    source = dict(
        pretrained=str(Path(pretrained).absolute()) if is_local or is_given else None,
        config_dir=folder and str(Path(folder).absolute()),
        model_config=content,
        **changed,
    )
    return TowerPlan(name, HUB_TOWER, config, preprocess, pretrained, folder, source)
