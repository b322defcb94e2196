"""Configs: read a file or a shipped config by name, apply overrides, check every key."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.fileio import load

from cssa_mm.apis.overrides import apply_overrides
from cssa_mm.apis.shipped_bases import SCOPE, shipped_base
from cssa_mm.datasets.toolbox.wrappers import wrapped_in
from cssa_mm.engine.config.component_values import check_sections
from cssa_mm.engine.config.helper_names import drop_helpers
from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.errors import ConfigError
from cssa_mm.features.view import LOADERS
from cssa_mm.files import shipped_config
from cssa_mm.models.tower_plan import plan_tower
from cssa_mm.models.tower_spec import HUB, resolve_tower

# Label files that a new user may give in place of a config.
LABELS = ('.csv', '.tsv', '.txt', '.xlsx', '.xml', '.jsonl', '.ndjson', '.manifest')

# What mmengine says of a file that it cannot read -> how to write it.
ADVICE = {
    'Duplicate keys': (
        "in place of one of the bases, inherit its parts, such as 'cssa_mm::_base_/datasets/table.py', "
        "'cssa_mm::_base_/models/cssa_plus.py' and 'cssa_mm::_base_/runtime.py', without that which another base says"
    ),
    'in the inheritance chain': 'write _base_ = ... above all imports, by which mmengine tells the two styles apart',
}


def load_config(
    config: str | os.PathLike | Config,
    *,
    overrides: Mapping[str, object] | None = None,
    data_root: str | os.PathLike | None = None,
    tower: str | os.PathLike | Mapping[str, str | None] | None = None,
) -> Config:
    """Read a config with overrides and check all of its keys.

    Args:
        config: a config file; a shipped config by its name, such as 'cssa_demo'; a directory of photos, which stands
            for 'cssa_table' with this `data_root`; or a config that is already read, which is left as it is.
        overrides: dotted key -> value, as `--cfg-options` takes them; keys below a part that is None make it a dict.
        data_root: directory of the data; replaces `data_root` of every data set.
        tower: `NAME:TAG`, `NAME:PATH` or another form of `resolve_tower`, or the options that it returns; replaces
            name, weights and folder of the tower at once.

    Raises:
        ConfigError: the file is missing or broken, a key, component or tower is unknown, or an override does not fit.
        CheckpointError: the weights of `tower` are missing.

    Examples:
        >>> import cssa_mm
        >>> config = cssa_mm.load_config('cssa_demo', overrides={'train_cfg.semi_epochs': 3})
        >>> config.train_cfg.semi_epochs
        3
    """
    if not isinstance(config, Config):
        config = os.path.expanduser(config)
    if not isinstance(config, Config) and is_photo_folder(config):
        config, data_root = 'cssa_table', data_root or config
    name = config.filename if isinstance(config, Config) else str(config)
    result = copy.deepcopy(config) if isinstance(config, Config) else _read(name)
    drop_helpers(result)  # before what they were used for changes
    if data_root is not None:
        _set_data_root(result, os.fspath(data_root))
    if tower is not None:
        _set_tower(result, tower)
    if overrides:
        apply_overrides(result, overrides)
    check_sections(result)
    if tower is not None:
        _check_tower(result)
    return prepare_config(result)


def is_photo_folder(config: str | os.PathLike | Config) -> bool:
    """Whether a folder of photos stands in place of a config, so that model and training are those of 'cssa_table'."""
    if isinstance(config, Config):
        return False
    path = os.path.expanduser(config)
    return Path(path).is_dir() and shipped_config(path) is None


def _read(name: str) -> Config:
    path = Path(name) if Path(name).is_file() else shipped_config(name)
    if name.startswith(SCOPE):
        path = shipped_base(name)
    if path is None:
        raise ConfigError(
            f"config: found no file '{name}', expected one such as configs/cssa_demo.py, the name of a shipped "
            'config such as cssa_demo, or a folder of photos'
        )
    if path.suffix.lower() in LABELS:
        raise ConfigError(
            f'config: found the label file {path}, expected a config or a folder of photos; give the folder, and the '
            f'file as --labels {path.name}'
        )
    try:
        result = Config.fromfile(path)
    # A config file is a program: it can fail in any way.
    except Exception as error:
        if path.suffix.lower() != '.py' and _holds_a_list(path):
            raise _no_config(path) from error
        if path.suffix == '.py' and 'read_base' in path.read_text('utf-8', errors='replace'):
            raise ConfigError(
                f'{path}: found a config with read_base() that cannot be read ({_reason(error)}); our configs are '
                "inherited by _base_ = 'cssa_mm::cssa_table.py', which mmengine does not mix with read_base()"
            ) from error
        raise ConfigError(
            f'{path}: found no usable config ({_reason(error)}), expected one such as configs/cssa_demo.py; '
            f'{next((advice for said, advice in ADVICE.items() if said in str(error)), "correct it")}'
        ) from error
    if path.suffix.lower() != '.py' and 'model' not in result:
        raise _no_config(path)
    return result


def _no_config(path: Path) -> ConfigError:
    return ConfigError(
        f'{path}: found no config, whose keys are model, train_dataloader and so on; if it is a label file, give the '
        f'folder of photos instead, and --labels {path.name}'
    )


def _holds_a_list(path: Path) -> bool:
    """Whether a file of JSON or YAML holds a list, as label files do."""
    try:
        return isinstance(load(str(path)), list)
    except Exception:  # it is broken: said of it as a config
        return False


def _set_data_root(config: Config, data_root: str) -> None:
    for name in LOADERS:
        if not config.get(name) or not config[name].get('dataset'):
            continue
        found = wrapped_in(config[name].dataset)
        if len({str(part.get('data_root')) for part in found if isinstance(part, Mapping)}) > 1:
            raise ConfigError(
                f"--data-root: found '{data_root}' for {name}.dataset, a ConcatDataset of {len(found)} parts in "
                'several folders, expected the data_root of each in the config: '
                f'{name}.dataset.datasets.0.data_root=...; leave --data-root out'
            )
        for part in found:
            if isinstance(part, dict):
                part['data_root'] = data_root
    names = config.get('model', {}).get('class_names')
    if isinstance(names, dict) and 'type' in names:  # a data set that defines them
        for part in wrapped_in(names):
            part['data_root'] = data_root


def _set_tower(config: Config, tower: str | os.PathLike | Mapping[str, str | None]) -> None:
    backbone = config.get('model', {}).get('backbone')
    if backbone is None:
        raise ConfigError(f"--tower: found '{tower}' for a config without model.backbone, expected one; leave it out")
    backbone.update(tower if isinstance(tower, Mapping) else resolve_tower(tower))
    backbone.pop('activation', None)  # what the config says of its own tower


def _check_tower(config: Config) -> None:
    """Refuse a wrong tower before anything is built; what must be fetched from the hub is not looked at."""
    keys = ('model_name', 'pretrained', 'config_dir', 'activation')
    options = {key: config.model.backbone[key] for key in keys if key in config.model.backbone}
    if not options['model_name'].startswith(HUB):
        plan_tower(**options)


def _reason(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())}'[:300]
