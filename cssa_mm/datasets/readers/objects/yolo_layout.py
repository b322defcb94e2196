"""Where YOLO's images, labels and class names lie: data.yaml, darknet's .data, or a folder without either."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from cssa_mm.datasets.readers.source import LabelSource
from cssa_mm.datasets.readers.text import decode_text
from cssa_mm.errors import DataError, nearest

PARTS = ('train', 'val', 'test')
EXPECTED = 'a data.yaml of YOLO'
ALIASES = dict(valid='val', validation='val', training='train', testing='test')
YAML_NAMES = ('data.yaml', 'data.yml', 'dataset.yaml', 'dataset.yml')
CLASS_FILES = ('classes.txt', 'labels/classes.txt', 'obj.names', '../classes.txt', '../obj.names', 'notes.json')


@dataclass
class Layout:
    """Where a part of a YOLO data set lies.

    Attributes:
        places: Directories of images, and text files that list them.
        names: The class of each number.
        directory: What relative paths count from.
        facts: What was found how.
    """

    places: list[str]
    names: list[str]
    directory: str
    facts: dict[str, str] = field(default_factory=dict)


class Bases(NamedTuple):
    """Directories that the paths of a file count from, and those that they may not leave; links may lead anywhere."""

    paths: list[str]
    roots: tuple[str, ...]

    def holds(self, path: str) -> bool:
        """Whether a path lies in one of the roots."""
        path = os.path.join(os.path.abspath(path), '')
        return any(path.startswith(os.path.join(os.path.abspath(root), '')) for root in self.roots)


def layout_of(source: LabelSource, subset: str | None) -> Layout:
    """The layout of a part of a data.yaml, a darknet .data file, or a folder.

    Raises:
        DataError: The file has another form or lacks the part, or a path leads nowhere.
    """
    path = yaml_in(source.path) if source.is_folder else source.path
    if path is None:
        return Layout([source.path], _names_beside(source, source.path), source.path)
    content = source.files.read_bytes(path, EXPECTED)
    settings = _settings(decode_text(content, path)[0], path)
    layout = Layout([], [], os.path.dirname(path))
    bases = _bases(source, settings, path, layout.facts)
    if isinstance(settings.get('names'), str):
        listed = _find(settings['names'], bases, path, 'names', layout.facts)
        layout.names = _lines(source, str(listed))
    else:
        layout.names = _names_in(settings, path)
    part = ALIASES.get((subset or 'train').casefold(), (subset or 'train').casefold())
    given = [name for name in PARTS if settings.get(name)]
    if part not in given:
        raise DataError(
            f"{path}: found no part '{part}' (it has {', '.join(given) or 'none'}), expected train, val or test with "
            f'its images; correct subset.{nearest(part, given)}'
        )
    for item in _several(settings[part]):
        layout.places.append(str(_find(str(item), bases, path, part, layout.facts)))
    there = parts_in(source, path)
    shown = ', '.join(name if name in there else f'{name} (not there)' for name in given)
    layout.facts['part'] = f"'{part}' of {shown} (subset=...)"
    return layout


def parts_in(source: LabelSource, path: str) -> list[str]:
    """The parts of a data.yaml whose images are there, of train, val and test.

    Raises:
        DataError: It is no valid YAML.
    """
    settings = _settings(decode_text(source.files.read_bytes(path, EXPECTED), path)[0], path)
    bases = _bases(source, settings, path, {})
    values = {part: settings[part] for part in PARTS if settings.get(part)}
    return [
        part
        for part, value in values.items()
        if all(_find(str(item), bases, path, part, {}, is_needed=False) for item in _several(value))
    ]


def _bases(source: LabelSource, settings: Mapping[str, Any], path: str, facts: dict[str, str]) -> Bases:
    """The directories that the paths of a data.yaml count from."""
    directory = os.path.dirname(path)
    own = Bases([directory], (directory or '.', source.files.data_root or '.'))
    root = settings.get('path') and _find(str(settings['path']), own, path, 'path', facts, is_needed=False)
    return Bases([root, directory], own.roots) if root else own


def _several(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def yaml_in(folder: str) -> str | None:
    """The path of a data.yaml in a folder; None where there is none."""
    paths = (os.path.join(folder, name) for name in YAML_NAMES)
    return next((path for path in paths if os.path.isfile(path)), None)


def _settings(text: str, path: str) -> dict[str, Any]:
    if path.lower().endswith('.data'):  # darknet: key = value
        pairs = (line.partition('=') for line in text.splitlines() if '=' in line)
        settings: Any = {key.strip(): value.strip() for key, _, value in pairs}
        return settings | ({'val': settings['valid']} if 'valid' in settings else {})
    try:
        # Texts only, and so no objects: names such as no, on or 007 stay what they are.
        settings = yaml.load(text, Loader=yaml.BaseLoader)  # nosec B506
    except yaml.YAMLError as error:
        raise DataError(
            f'{path}: found no valid YAML ({" ".join(str(error).split())}), expected a data.yaml of YOLO; correct it.'
        ) from error
    if not isinstance(settings, dict):
        raise DataError(f'{path}: found no keys, expected train, val and names as in a data.yaml of YOLO; correct it.')
    return settings | ({'val': settings['valid']} if 'valid' in settings and 'val' not in settings else {})


def _names_in(settings: Mapping[str, Any], path: str) -> list[str]:
    names = settings.get('names')
    if isinstance(names, Mapping):
        numbers = sorted(names, key=lambda key: int(key) if str(key).isdecimal() else -1)
        if [str(number) for number in numbers] != [str(number) for number in range(len(numbers))]:
            raise DataError(f'{path}: found the numbers {", ".join(map(str, names))} in names, expected 0, 1, 2, ...')
        names = [names[number] for number in numbers]
    if not isinstance(names, Sequence) or isinstance(names, str) or not names:
        raise DataError(f'{path}: found no names of classes, expected names: [cat, dog] or 0: cat, 1: dog; add them.')
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(
            f'{path}: found an empty name or a list among names, expected a word for each class; correct it.'
        )
    count = settings.get('nc', settings.get('classes'))
    if count is not None and str(count) != str(len(names)):
        raise DataError(f'{path}: found nc: {count} and {len(names)} names, expected as many; correct one of them.')
    return [name.strip() for name in names]


def _names_beside(source: LabelSource, folder: str) -> list[str]:
    for name in CLASS_FILES:
        path = os.path.normpath(os.path.join(folder, name))
        if os.path.isfile(path):
            return _lines(source, path)
    raise DataError(
        f'{folder}: found YOLO labels without the names of their classes, expected classes.txt with one a line, or a '
        'data.yaml; write one.'
    )


def _lines(source: LabelSource, path: str) -> list[str]:
    text = decode_text(source.files.read_bytes(path, 'the names of the classes'), path)[0]
    if path.endswith('.json'):  # Label Studio's notes
        try:
            categories = sorted(json.loads(text)['categories'], key=lambda item: item['id'])
            return [str(item['name']) for item in categories]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f'{path}: found no categories, expected those of the labels; write classes.txt.') from error
    names = [line.strip() for line in text.strip('\r\n').splitlines()]
    if not all(names):
        raise DataError(f'{path}: found an empty line, expected one name a line, whose place is its number; fill it.')
    return names


def _find(value: str, bases: Bases, path: str, key: str, facts: dict[str, str], is_needed: bool = True) -> str | None:
    """Where a path of the file leads here: as written, or by its longest end of two folders or more.

    Raises:
        DataError: It leads nowhere though it is needed, or out of the folder of the file and of data_root.
    """
    value = value.replace('\\', '/')
    written = [place for base in bases.paths if os.path.exists(place := os.path.join(base, value))]
    for place in written:
        if bases.holds(place):
            return os.path.normpath(place)
    parts = [part for part in value.split('/') if part not in ('', '.', '..')]
    shortest = 1 if value.endswith(('.txt', '.names')) or key == 'path' else min(2, len(parts))
    for start in range(len(parts) - shortest + 1):
        for base in bases.paths:
            found = os.path.join(base, *parts[start:])
            if os.path.exists(found):
                facts[f'{key} found as'] = f"{'/'.join(parts[start:])} ('{value}' in {os.path.basename(path)})"
                return os.path.normpath(found)
    if not is_needed and key != 'path':
        return None
    if written:
        raise DataError(
            f"{path}: found {key}: {value}, which leads out of '{bases.roots[0]}' and of data_root, expected a path "
            'below one of them; set data_root to a folder that holds both, or link it there.'
        )
    if not is_needed:
        return None
    raise DataError(
        f'{path}: found {key}: {value}, which is not there, expected a directory or list of images below '
        f"'{bases.paths[0]}'; correct the path."
    )


def label_paths(path: str) -> Iterable[str]:
    """Where the labels of an image can lie: in labels instead of images, beside it, or in labels beside it."""
    stem = os.path.splitext(path)[0].replace(os.sep, '/')
    before, slash, after = stem.rpartition('/images/')
    if slash:
        yield f'{before}/labels/{after}.txt'
    yield f'{stem}.txt'
    directory, name = os.path.split(stem)
    yield os.path.join(directory, 'labels', f'{name}.txt')
