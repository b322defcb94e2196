"""Resolve the model's classes, their names and prompts, from a list, a file, a label file or a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmpretrain.registry import DATASETS

from cssa_mm.datasets.class_words import ClassWords, class_words, decode_class_words
from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.names import one_form

LABEL_FILES = ('.csv', '.tsv', '.json', '.xlsx', '.jsonl')
SUFFIXES = (*LABEL_FILES, '.txt', '.names')
KEY = 'model.class_names'
Source = Sequence[str] | str | Mapping | ClassWords


def resolve_class_names(source: Source, data_root: str = '') -> list[str]:
    """The C class names of what `resolve_classes` takes."""
    return list(resolve_classes(source, data_root).names)


def resolve_classes(source: Source, data_root: str = '') -> ClassWords:
    """The C classes, names and prompts.

    Args:
        source: a list of names; a dict name -> prompt or prompts; a class file (see `read_class_words`); a label file;
            the name of a registered data set type that knows its classes; or, as a dict with `type`, the config of a
            data set whose files define them.
        data_root: where a file is looked for first, as data sets do.

    Raises:
        ConfigError: the file is missing, the type unknown or without classes, or a name is empty, doubled or no text.
        DataError: the file, or the table of a data set, cannot be read.
    """
    if isinstance(source, ClassWords):
        return source
    if isinstance(source, Mapping) and 'type' in source:
        return _of_dataset(source)
    if isinstance(source, str):
        return _of_string(source, data_root)
    return given_classes(source)


def class_difference(before: Sequence[str], now: Sequence[str]) -> str:
    """What sets a class list apart from an earlier one, in words; empty if they are the same.

    >>> class_difference(['cat', 'dog'], ['dog', 'zebra'])
    "'zebra' is new; 'cat' is missing"
    >>> class_difference(['cat', 'dog'], ['dog', 'cat'])
    'the same 2 names in another order'
    """
    before, now = list(map(one_form, before)), list(map(one_form, now))
    added, gone = [name for name in now if name not in before], [name for name in before if name not in now]
    if added or gone:
        return '; '.join(_listed(names, what) for names, what in ((added, 'new'), (gone, 'missing')) if names)
    return '' if before == now else f'the same {len(now)} names in another order'


def _listed(names: Sequence[str], what: str) -> str:
    shown = ', '.join(f"'{name}'" for name in names[:5])
    more = f' and {len(names) - 5} more' if len(names) > 5 else ''
    return f'{shown}{more} {"is" if len(names) == 1 else "are"} {what}'


def given_classes(source: Sequence[str] | Mapping[str, Any], where: str = KEY) -> ClassWords:
    """The C classes of a list of names, or of a dict name -> prompt or prompts.

    Raises:
        ConfigError: there is none, or a name is empty, doubled or no text.
    """
    if not isinstance(source, Mapping | Sequence) or isinstance(source, str) or not source:
        found = 'no name' if isinstance(source, Mapping | Sequence) and not source else repr(source)
        raise ConfigError(f"{where}: found {found}, expected a list of names, such as ['cat', 'dog']")
    try:
        return ClassWords.of(class_words(source, where))
    except DataError as error:
        raise ConfigError(str(error)) from error


def _of_dataset(config: Mapping[str, Any]) -> ClassWords:
    if DATASETS.get(str(config['type'])) is None and isinstance(config['type'], str):
        known = [name for name in DATASETS.module_dict if name.endswith('Dataset')]
        raise ConfigError(
            f"{KEY}: found the type '{config['type']}', expected that of a registered data set."
            f'{nearest(config["type"], known)}'
        )
    # Lazy: its images are not looked for.
    dataset = DATASETS.build(dict(config, lazy_init=True))
    words = getattr(dataset, 'class_words', None)
    names = (dataset.metainfo or {}).get('classes', ()) if words is None else words.names
    if not names:
        raise ConfigError(
            f"{KEY}: found '{config['type']}', a data set without classes, expected one with; give a list"
        )
    return given_classes(list(names)) if words is None else words


def _of_string(source: str, data_root: str) -> ClassWords:
    path = next((path for path in _places(source, data_root) if path.is_file()), None)
    if path is not None:
        words = decode_class_words(_content(path), str(path))
        if words is not None:
            return ClassWords.of(words)
        file = str(path)
        return _of_dataset(dict(type='TableDataset', ann_file=file, classes_from=[file], data_root=str(path.parent)))
    dataset = DATASETS.get(source) if not source.endswith(SUFFIXES) else None
    if dataset is None:
        known = [name for name in DATASETS.module_dict if name.endswith('Dataset')]
        places = f" (no such file below '{data_root}' or here)" if data_root else ''
        raise ConfigError(
            f"{KEY}: found '{source}'{places}, expected a list of names, a text file with one a line, a CSV with "
            f'name,prompt, or the type of a registered data set.{nearest(source, known)}'
        )
    names = dataset.METAINFO.get('classes')
    if not names:
        raise ConfigError(
            f"{KEY}: found '{source}', a data set type without classes of its own, expected one with classes; give the "
            'list'
        )
    return given_classes(list(names))


def _places(source: str, data_root: str) -> list[Path]:
    path = os.path.expanduser(source)
    return [Path(os.path.expanduser(data_root), path), Path(path)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f'{path}: cannot be read ({error.strerror}), expected the names of the classes') from error
