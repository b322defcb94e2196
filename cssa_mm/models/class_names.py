"""Resolve the model's class names from a list, a file, a label table or a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmpretrain.registry import DATASETS

from cssa_mm.errors import ConfigError, nearest

TABLES = ('.csv', '.tsv', '.json')


def resolve_class_names(source: Sequence[str] | str | Mapping) -> list[str]:
    """The C class names of a list, of a text file with one a line, of a label table, or of a data set.

    A data set is given by the name of its registered type or, if its files define the classes, by its config.

    Raises:
        ConfigError: the file is missing, the type unknown or without classes, or a name is empty or occurs twice.
        DataError: the table of a data set or its classes cannot be read.
    """
    if isinstance(source, Mapping):
        names = _of_dataset(source)
    else:
        names = _from_string(source) if isinstance(source, str) else [str(name) for name in source]
    _check(names)
    return names


def _check(names: Sequence[str]) -> None:
    doubled = [name for name, count in Counter(names).items() if count > 1]
    empty = next((position for position, name in enumerate(names, start=1) if not name.strip()), None)
    found = f'{doubled[0]!r} twice' if doubled else f'an empty name in place {empty}' if empty else 'no name'
    if doubled or empty or not names:
        raise ConfigError(f'model.class_names: found {found}, expected one or more different names; correct the list')


def _of_dataset(config: Mapping) -> list[str]:
    # Lazy: its images are not looked for.
    return list(DATASETS.build(dict(config, lazy_init=True)).class_names)


def _from_string(source: str) -> list[str]:
    if Path(source).suffix.lower() in TABLES:
        return _of_dataset(dict(type='TableDataset', ann_file=source))
    if Path(source).is_file():
        return [line.strip() for line in Path(source).read_text('utf-8').splitlines() if line.strip()]
    dataset = DATASETS.get(source)
    if dataset is None:
        known = [name for name in DATASETS.module_dict if name.endswith('Dataset')]
        raise ConfigError(
            f"model.class_names: found '{source}', expected a list of names, a text file with one a line, or the "
            f'type of a registered data set.{nearest(source, known)}'
        )
    names = dataset.METAINFO.get('classes')
    if not names:
        raise ConfigError(
            f"model.class_names: found '{source}', a data set type without classes of its own, expected one with "
            'classes; give the list'
        )
    return list(names)
