"""A folder as the Hugging Face hub has it, read back as the state dict of a checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cssa_mm.errors import CheckpointError
from cssa_mm.models.description import KEY, decode_description, encode_description, read_description
from cssa_mm.models.plain_data import differences, short
from cssa_mm.models.tower_plan import config_file

CONFIG, WEIGHTS, PREPROCESSOR, CARD = 'config.json', 'model.safetensors', 'preprocessor_config.json', 'README.md'
TOWER = 'tower'  # what open_clip does not know of the tower, and its weights if they were copied
PARTS = (CONFIG, WEIGHTS, PREPROCESSOR, CARD, TOWER)
# What config.json repeats of the description in the weights, so that programs without this package can read it.
REPEATED = ('class_names', 'prompts', 'thresholds', 'calibration', 'view')


def read_hub_folder(folder: str | os.PathLike) -> dict[str, Tensor]:
    """The state dict in a folder that `export_hub` wrote, with the place of its tower on this machine.

    Args:
        folder: the folder; weights of the tower are looked for in its subfolder `tower`, then in itself.

    Raises:
        CheckpointError: a file is missing or broken, or the files are not of the same model.
    """
    place = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not Path(place, name).is_file():
            raise CheckpointError(
                f'{place}: found no {name}, expected a folder that cssa export --hub wrote; fetch it whole, or give a '
                'checkpoint that training wrote'
            )
    path = Path(place, WEIGHTS)
    try:
        state_dict = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f'{path}: found weights that cannot be read ({" ".join(str(error).split())[:200]}), expected the whole '
            'file that cssa export --hub wrote; fetch it again'
        ) from error
    description = read_description(state_dict)
    _check_config(Path(place, CONFIG), decode_description(state_dict[KEY]))
    description['tower'] = _located(description['tower'], place)
    return state_dict | {KEY: encode_description(description)}


def _check_config(path: Path, description: Mapping[str, Any]) -> None:
    """Check that config.json says of the model what its weights say."""
    try:
        config = json.loads(path.read_text('utf-8-sig'))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f'{path}: found no JSON ({" ".join(str(error).split())[:200]}), expected the file that cssa export --hub '
            'wrote; fetch it again'
        ) from error
    if not isinstance(config, dict) or 'class_names' not in config:
        raise CheckpointError(
            f'{path}: found no class_names, expected the file that cssa export --hub wrote; fetch it again'
        )
    tower = {key: description['tower'].get(key) for key in ('model_name', 'weights_hash')}
    names = description['class_names']
    expected = {key: description[key] for key in REPEATED if key in description} | dict(
        description=description, tower=tower, id2label={str(index): name for index, name in enumerate(names)}
    )
    found = {key: config[key] for key in expected if key in config}
    if isinstance(found.get('tower'), dict):
        found['tower'] = {key: found['tower'].get(key) for key in tower}
    for key, value in found.items():
        for name, theirs, ours in differences(value, expected[key], key):
            raise CheckpointError(
                f'{path}: found {name} {short(theirs)}, expected {short(ours)} as in {WEIGHTS}; take both files of one '
                'model: cssa export --hub writes them anew'
            )


def _located(tower: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The description of the tower with the paths of what lies in the folder."""
    found = dict(tower)
    name = Path(str(tower.get('pretrained') or '')).name
    places = [Path(folder, TOWER, name), Path(folder, name)]
    weights = next((place for place in places if name and place.is_file()), None)
    if weights is not None:
        found['pretrained'] = str(weights.absolute())
    if tower.get('model_config') and Path(folder, TOWER, config_file(tower['model_name'])).is_file():
        found['config_dir'] = str(Path(folder, TOWER).absolute())
    return found
