"""Where a tower comes from: `NAME:TAG`, `NAME:PATH`, or a path or name that says all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip

from cssa_mm.errors import CheckpointError, ConfigError, nearest
from cssa_mm.models.activation import PLAIN, split_suffix

DEMO = 'cssa-demo-rn'
LOCAL_DIR, HUB = 'local-dir:', 'hf-hub:'
HUB_CONFIG = 'open_clip_config.json'
SUFFIXES = ('.safetensors', '.pt', '.pth', '.bin', '.ckpt')
# What a repository of the Hugging Face hub calls its weights, the first that is there.
HUB_WEIGHTS = (
    'open_clip_model.safetensors', 'open_clip_pytorch_model.safetensors', 'open_clip_pytorch_model.bin',
    'open_clip_pytorch_model.pth', 'model.safetensors', 'pytorch_model.bin', 'pytorch_model.pth', 'model.pth',
)  # fmt: skip
FORMS = 'NAME:TAG, NAME:FILE, NAME:FOLDER, a folder with JSON and weights, hf-hub:ORG/NAME, local-dir:FOLDER, or demo'


def resolve_tower(tower: str | os.PathLike) -> dict[str, str | None]:
    """The options `model_name`, `pretrained` and `config_dir` of a backbone from one text.

    Args:
        tower: `NAME:TAG` or `NAME` of open_clip; `NAME:FILE` or `NAME:FOLDER` of one's own weights, with NAME.json
            beside them unless open_clip knows the name; a file or folder alone, if the names in it tell the tower;
            `hf-hub:ORG/NAME`, `local-dir:FOLDER` or `demo`.

    Raises:
        ConfigError: the text fits no tower, or several.
        CheckpointError: a file or folder is missing.
    """
    text = os.fspath(tower).strip()
    if text == 'demo':
        return _options(DEMO, 'demo', None)
    if text.startswith(HUB):
        return _options(text, None, None)
    if text.startswith(LOCAL_DIR):
        return _hub_folder(Path(text.removeprefix(LOCAL_DIR)))
    if Path(text).exists():
        return _from_path(Path(text))
    name, colon, rest = text.partition(':')
    if not colon:
        return _from_name(name)
    if not name or not rest:
        raise ConfigError(f"--tower: found '{text}', expected {FORMS}")
    return _from_pair(name, rest)


def models_in(folder: Path) -> dict[str, Any]:
    """Name -> model config of the JSON files of open_clip's form in a folder, as `backbone.config_dir` reads them.

    Raises:
        ConfigError: one is no JSON.
    """
    found = {}
    for path in sorted(folder.glob('*.json')):
        try:
            content = json.loads(path.read_text('utf-8-sig'))
        except ValueError as error:
            raise ConfigError(
                f'{path}: found no JSON ({error}), expected an open_clip model config; mend it'
            ) from error
        if isinstance(content, dict) and {'embed_dim', 'vision_cfg', 'text_cfg'} <= set(content):
            found[path.stem] = content
    return found


def weights_in(folder: Path, names: Sequence[str]) -> Path:
    """The weights file in a folder that is called as one of `names`, or else the only one.

    Raises:
        CheckpointError: there is none, or several and none of these names.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    for name in names:
        fitting = [path for path in files if name in (path.name, path.stem) or _plain(path.stem) == _plain(name)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise CheckpointError(
                f'{folder}: found {" and ".join(path.name for path in fitting)}, expected one file of weights; name '
                f'it: --tower NAME:{fitting[0]}'
            )
    if len(files) == 1:
        return files[0]
    what = f'the weights files {", ".join(path.name for path in files)}' if files else f'no {", ".join(SUFFIXES)} file'
    fix = f'name one: --tower NAME:{files[0]}' if files else 'put the weights there'
    raise CheckpointError(f'{folder}: found {what}, expected one of the tower; {fix}')


def _options(model_name: str, pretrained: str | None, config_dir: str | None) -> dict[str, str | None]:
    return dict(model_name=model_name, pretrained=pretrained, config_dir=config_dir)


def _plain(name: str) -> str:
    return name.replace('_', '-').replace('/', '-').lower()


def _hub_folder(folder: Path) -> dict[str, str | None]:
    if not Path(folder, HUB_CONFIG).is_file():
        raise CheckpointError(f'--tower: found no {HUB_CONFIG} in {folder}, expected a folder as the Hub has it')
    return _options(f'{LOCAL_DIR}{folder}', None, None)


def _builtin() -> dict[str, Any]:
    return dict.fromkeys(open_clip.list_models())


def _from_name(name: str) -> dict[str, str | None]:
    base, _ = split_suffix(name, _builtin())
    if base not in _builtin():
        raise ConfigError(
            f"--tower: found '{name}', which is no file, folder or tower of open_clip, expected {FORMS}."
            f'{nearest(name, open_clip.list_models())}'
        )
    tags = open_clip.list_pretrained_tags_by_model(base)
    if len(tags) == 1:
        return _options(name, tags[0], None)
    which = f'{name}:TAG with one of {", ".join(tags)}, or {name}:FILE' if tags else f'{name}:FILE; it has no tags'
    raise ConfigError(f"--tower: found '{name}' without weights, expected {which}")


def _from_pair(name: str, rest: str) -> dict[str, str | None]:
    if (name, rest) == (DEMO, 'demo'):
        return _options(name, rest, None)
    base, _ = split_suffix(name, _builtin())
    tags = open_clip.list_pretrained_tags_by_model(base)
    path = Path(rest)
    if rest in tags:
        if path.exists():
            raise ConfigError(
                f"--tower: found '{name}:{rest}', which is a tag of open_clip and a file or folder here, expected one "
                f'of them; write {name}:./{rest} for the latter, or run this where {rest} does not lie'
            )
        return _options(name, rest, None)
    if path.is_file():
        return _options(name, str(path), _json_folder(name, path.parent, rest))
    if path.is_dir():
        config_dir = _json_folder(name, path, rest)
        return _options(
            name, str(weights_in(path, [name, split_suffix(name, models_in(path))[0], *HUB_WEIGHTS])), config_dir
        )
    if '/' in rest or '\\' in rest or path.suffix in SUFFIXES:
        raise CheckpointError(
            f"--tower: found no file or folder '{rest}', expected the weights of '{name}'; correct it"
        )
    if base not in _builtin():
        raise ConfigError(
            f"--tower: found the unknown tower '{name}', expected a name of open_clip, or NAME:PATH of a NAME.json "
            f'with weights.{nearest(name, open_clip.list_models())}'
        )
    # A tag of the other activation is told of by the loader, which knows the right name.
    return _options(name, rest, None)


def _json_folder(name: str, folder: Path, rest: str) -> str | None:
    """The folder if it defines the tower, None if open_clip does."""
    own = models_in(folder)
    if split_suffix(name, own)[0] in own:
        return str(folder)
    if split_suffix(name, _builtin())[0] in _builtin():
        return None
    beside = f'found {", ".join(own)} there' if own else 'found no such JSON there'
    raise ConfigError(
        f"--tower: found the unknown tower '{name}' with {rest}, expected {name}.json in {folder} ({beside}), or a "
        f'name of open_clip.{nearest(name, [*own, *open_clip.list_models()])}'
    )


def _from_path(path: Path) -> dict[str, str | None]:
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and Path(folder, HUB_CONFIG).is_file():
        return _hub_folder(folder)
    own = models_in(folder)
    if path.suffix == '.json' and path.is_file():
        if path.name == HUB_CONFIG:
            return _hub_folder(folder)
        if path.stem not in own:
            raise ConfigError(f'--tower: found {path}, which is no model config of open_clip; expected {FORMS}')
        return _options(path.stem, str(weights_in(folder, [path.stem])), str(folder))
    if path.is_file():
        return _from_file(path, own)
    stems = {_plain(file.stem) for file in folder.iterdir() if file.suffix in SUFFIXES}
    fitting = [name for name in own if _plain(name) in stems]
    if len(fitting) != 1 and len(own) != 1:
        known = ', '.join(fitting or own) or 'none'
        raise ConfigError(
            f'--tower: found the towers {known} in {folder}, expected one with a NAME.json and weights of that name; '
            f'say which: --tower NAME:{folder}'
        )
    name = fitting[0] if len(fitting) == 1 else next(iter(own))
    return _options(name, str(weights_in(folder, [name])), str(folder))


def _from_file(path: Path, own: dict[str, Any]) -> dict[str, str | None]:
    """The tower of a weights file: that of the JSON beside it, or open_clip's of its name."""
    for names, config_dir in ((own, str(path.parent)), (_builtin(), None)):
        for name in [*names, *(f'{name}{PLAIN}' for name in names)]:
            if _plain(path.stem) == _plain(name):
                return _options(name, str(path), config_dir)
    if len(own) == 1:
        return _options(next(iter(own)), str(path), str(path.parent))
    beside = f'beside the JSON of {", ".join(own)}' if own else 'with no JSON beside it'
    raise ConfigError(
        f'--tower: found {path} {beside}, whose name tells no tower, expected NAME:{path} with a name of open_clip or '
        'of a NAME.json beside it'
    )
