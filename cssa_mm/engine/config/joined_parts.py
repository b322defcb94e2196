"""Joined data sets: what `data_parts` completes for a single one is completed for each."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

from mmengine.config import Config, ConfigDict
from mmpretrain.registry import DATASETS

from cssa_mm.datasets import UnlabelledDataset
from cssa_mm.datasets.discovery import discover
from cssa_mm.datasets.toolbox.own_sets import class_of
from cssa_mm.datasets.toolbox.wrappers import SHARED, is_join, is_ours, keys_of, leaves_of
from cssa_mm.engine.config.data_sections import (
    NO_CLASSES,
    PARTS,
    dataset_of,
    drop_part,
    is_table,
    keywords_of,
)
from cssa_mm.errors import ConfigError, DataError

# What names the classes of a table.
CLASS_KEYS = ('class_names', 'classes_from')


def class_options(options: Mapping) -> dict[str, Any]:
    """The options of a data set, or of all that it joins, that tell its classes."""
    found = {key: value for key, value in options.items() if key not in NO_CLASSES and value is not None}
    if is_join(options):
        parts = [class_options(part) for part in options['datasets'] if class_of(part) is not UnlabelledDataset]
        found['datasets'] = [part for number, part in enumerate(parts) if part not in parts[:number]]
    return found


def roots_of(options: Mapping) -> list[str]:
    """The data roots of a data set, or of all that it joins, each once."""
    return list(dict.fromkeys(str(leaf.get('data_root') or '.') for leaf in leaves_of(options)))


def refuse_unlabelled_alone(train: Mapping) -> None:
    """Refuse a training set without any labels.

    Raises:
        ConfigError: All that it joins is unlabelled by its type.
    """
    if all(class_of(leaf) is UnlabelledDataset for leaf in leaves_of(train)):
        raise ConfigError(
            'train_dataloader.dataset: found photos without labels alone, expected some with labels, too; join them: '
            "type='ConcatDataset', datasets=[labelled ones, these]"
        )


def complete_joins(config: Config, complete: Callable[[Config], None]) -> None:
    """Complete each data set that is joined, in place: those of one data root as the parts of a config of their own.

    A validation or test set that names no data becomes the join of those below the roots of the training sets.

    Args:
        config: A config in which a data set is a join.
        complete: Completes a config of single data sets.

    Raises:
        DataError: A data set that nothing trains on names no label file, and its folder holds none or several.
    """
    train = config.train_dataloader.dataset
    leaves = leaves_of(train)
    is_written = is_join(dataset_of(config, 'val'))
    others = {part: _as_join(config, part, leaves, is_written) for part in PARTS}
    written = {part: [copy.deepcopy(each) for each in others[part]] for part in PARTS}
    told: dict[tuple[str, int], list[dict]] = {}  # the classes of the training sets that a held-out set belongs to
    for place, leaf in enumerate(leaves):
        below = [[row for row, each in enumerate(written[part]) if _same_place(each, leaf)] for part in PARTS]
        is_said, held = leaf.get('held_out') is not None, []
        for rows in list(zip_longest(*below)) or [(None, None)]:
            places = [(part, row) for part, row in zip(PARTS, rows, strict=True) if row is not None]
            single = Config(dict(train_dataloader=dict(dataset=dict(leaf))))
            for part, row in places:
                single[f'{part}_dataloader'] = dict(dataset=copy.deepcopy(written[part][row]))
            with _blamed({'train': place, **dict(places)}, config):
                complete(single)
            found = dict(single.train_dataloader.dataset)
            held += [each for each in found.get('held_out') or () if each not in held]
            _write(leaf, found if is_said else {key: value for key, value in found.items() if key != 'held_out'})
            for part, row in places:
                told.setdefault((part, row), []).append({key: found.get(key) for key in CLASS_KEYS})
                if len(told[part, row]) == 1:
                    _write(others[part][row], (single.get(f'{part}_dataloader') or {}).get('dataset') or {})
        if not is_said and is_table(leaf):
            leaf['held_out'] = held
    for (part, row), classes in told.items():
        if any(each != classes[0] for each in classes) and is_table(others[part][row]):
            for key in CLASS_KEYS:
                others[part][row].pop(key, None)  # those of all training sets together
    for part in PARTS:
        if others[part]:
            _finish(config, part, train)


def share_joined_classes(config: Config) -> None:
    """Give the model the classes of the training set, unless it has others."""
    model, train = config.get('model'), config.train_dataloader.dataset
    if not model:
        return
    names, leaves = model.get('class_names'), leaves_of(train)
    if names is None or (isinstance(names, str) and names in [leaf['type'] for leaf in leaves]):
        config.model.class_names = ConfigDict(class_options(train))
    elif isinstance(names, Mapping) and names and names.keys() <= keywords_of(class_of(leaves[0])):
        shared = class_options(train)
        parts = [part | dict(names) for part in leaves_of(shared)]
        parts = [part for number, part in enumerate(parts) if part not in parts[:number]]
        config.model.class_names = ConfigDict(shared | dict(datasets=parts) if len(parts) > 1 else parts[0])
    elif isinstance(names, str) and DATASETS.get(names) is None:
        below = [os.path.join(root, os.path.expanduser(names)) for root in roots_of(train)]
        config.model.class_names = next((path for path in below if os.path.isfile(path)), names)


@contextmanager
def _blamed(places: Mapping[str, int], config: Config) -> Iterator[None]:
    """Name the keys of the joined data sets in place of those of a config of single ones.

    Args:
        places: 'train', 'val' or 'test' -> the place of a data set among those that its loader joins.
        config: The config that joins them.
    """
    try:
        yield
    except (ConfigError, DataError) as error:
        text = str(error)
        for part, place in places.items():
            where = f'{part}_dataloader.dataset'
            key = keys_of(config[f'{part}_dataloader'].dataset, where)[place]
            text = text.replace(f'{where}.', f'{key}.')
            text = text.replace('--labels FILE', f'{key}.ann_file=FILE') if part == 'train' else text
        raise type(error)(text) from error


def _as_join(config: Config, part: str, trained: Sequence[Mapping], follows: bool) -> list[dict]:
    """Make a validation or test set of ours a join, and return the data sets that it joins.

    A test set that names no data `follows` a validation set that was written as a join.
    """
    options = dataset_of(config, part)
    if not isinstance(options, Mapping) or not is_ours(options):
        return []
    if not is_join(options):
        shared = {key: options[key] for key in SHARED if options.get(key) is not None}
        own = {key: value for key, value in options.items() if key not in SHARED}
        if part == 'test' and follows and not (own.get('data_root') or own.get('ann_file')):
            options = copy.deepcopy(dict(config.val_dataloader.dataset)) | shared
        else:
            options = shared | dict(type='ConcatMultiLabelDataset', datasets=_below_roots(own, trained))
        config[f'{part}_dataloader'].dataset = ConfigDict(options)
    return leaves_of(config[f'{part}_dataloader'].dataset)


def _below_roots(options: Mapping, trained: Sequence[Mapping]) -> list[dict]:
    """A data set below each root that a data set of its type trains on; itself where it has a root of its own."""
    roots = list(dict.fromkeys(leaf.get('data_root') for leaf in trained if class_of(leaf) is class_of(options)))
    if options.get('data_root') is not None or not roots:
        return [dict(options)]
    name = options.get('ann_file')
    having = [root for root in roots if name is not None and os.path.exists(os.path.join(root or '', name))]
    return [dict(copy.deepcopy(dict(options)), data_root=root) for root in having or roots]


def _finish(config: Config, part: str, train: Mapping) -> None:
    """Drop what has no label file, find those of folders that nothing trains on, and name the classes."""
    options = config[f'{part}_dataloader'].dataset
    for leaf in leaves_of(options):
        if leaf and is_table(leaf) and leaf.get('ann_file') is None:
            found = discover(leaf.get('data_root') or '.')
            leaf.update(next(found[name] for name in (part, *PARTS, 'train') if name in found))
    _prune(options)
    if not options['datasets']:
        drop_part(config, part, ', '.join(roots_of(train)))
    elif options.get('class_names') is None and train.get('class_names') is not None:
        options['class_names'] = train['class_names']
    elif options.get('class_names') is None:
        options['classes_from'] = class_options(train)


def _prune(options: dict) -> None:
    for part in options['datasets']:
        if is_join(part):
            _prune(part)
    options['datasets'] = [part for part in options['datasets'] if part and part.get('datasets', True)]


def _write(options: dict, completed: Mapping) -> None:
    found = dict(completed)  # it may be the same object
    options.clear()
    options.update(found)


def _same_place(options: Mapping, train: Mapping) -> bool:
    roots = [str(each.get('data_root') or '.') for each in (options, train) if each]
    if len(roots) < 2 or class_of(options) is not class_of(train):
        return False
    return len({root if '://' in root else os.path.abspath(root) for root in roots}) == 1
