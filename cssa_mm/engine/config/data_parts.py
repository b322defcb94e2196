"""One setting, one place: what `train_dataloader.dataset` says serves validation, test and the model, too."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Mapping
from typing import Any

from mmengine.config import Config, ConfigDict
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.discovery import discover
from cssa_mm.datasets.toolbox.own_sets import class_of
from cssa_mm.datasets.toolbox.wrappers import is_join, is_ours, unwrapped
from cssa_mm.engine.config.data_sections import (
    OWN,
    PARTS,
    dataset_of,
    defaults_of,
    drop_part,
    is_table,
    keywords_of,
    own_classes,
)
from cssa_mm.engine.config.held_out_folds import give_folds, take_folds
from cssa_mm.engine.config.joined_parts import (
    class_options,
    complete_joins,
    refuse_unlabelled_alone,
    roots_of,
    share_joined_classes,
)
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.values import check_values

# What may differ between files of one data set.
FREE = {'format', 'delimiter', 'encoding', 'unannotated', 'keep_empty', 'backend_args', 'data_root', 'ignore_columns'}


def apply_data(config: Config) -> None:
    """Complete the data sets of validation and test and the class names of the model, in place.

    Wrappers of the toolbox become options of our data sets. Label files that the config doesn't name are looked for in
    `data_root`. Options of the training set that another part doesn't give are taken over; the test set follows the
    validation set first.

    Raises:
        ConfigError: a wrapper makes no sense, or an option that decides how labels are read is given in another part
            alone.
        DataError: no label file is found, or several.
    """
    for part in ('train', *PARTS):
        options = dataset_of(config, part)
        found = unwrapped(options, f'{part}_dataloader.dataset', part == 'train')
        if found != options:
            config[f'{part}_dataloader'].dataset = ConfigDict(found)
    train = dataset_of(config, 'train')
    if not isinstance(train, dict) or not is_ours(train):
        return
    refuse_unlabelled_alone(train)
    folds = take_folds(config, train)
    if any(is_join(dataset_of(config, part)) for part in ('train', *PARTS)):
        complete_joins(config, lambda pair: _complete(pair, folds, is_part=True))
        share_joined_classes(config)
    else:
        _complete(config, folds)
        _share_classes(config, train)
    give_folds(config, folds)


def _complete(config: Config, folds: Collection[str] = (), is_part: bool = False) -> None:
    """Complete the single data sets of a config; `folds` names the loaders that test on a fold of the training set."""
    train = config.train_dataloader.dataset
    for part in ('train', *PARTS):
        _check_types(dataset_of(config, part), f'{part}_dataloader.dataset')
    for part, leaders in (('val', [train]), ('test', [dataset_of(config, 'val'), train])):
        options = dataset_of(config, part)
        if options is not None:
            for leader in leaders:
                if leader is not None:
                    _follow(options, leader, is_training=leader is train, where=f'{part}_dataloader.dataset')
    if is_table(train):
        _discover(config, train, folds, is_part)


def require_test_data(config: Config) -> None:
    """Refuse a config without test images where some are needed.

    Raises:
        ConfigError: it has none.
    """
    if config.get('test_dataloader') is None:
        root = ' or '.join(roots_of(config.train_dataloader.dataset))
        raise ConfigError(
            f'test_dataloader: found no labelled test images in {root}, expected test.csv, or a part called valid or '
            'test; add one, or name its label file: test_dataloader.dataset.ann_file=FILE'
        )


def _check_types(options: Any, where: str) -> None:
    if isinstance(options, dict) and is_ours(options):
        said = {key: value for key, value in options.items() if value is not None}  # what is not said is found
        for kind in own_classes(class_of(options)):
            options |= check_values(vars(kind).get('__init__', kind), said, where, takes_digits=True)


def _follow(options: dict, leader: Mapping, is_training: bool, where: str) -> None:
    if options.get('type', leader['type']) != leader['type']:
        return
    defaults = defaults_of(class_of(leader))
    for key, value in options.items():
        is_said = leader.get(key) not in (None, defaults.get(key)) or key in OWN | FREE
        if is_training and value is not None and not is_said and value != leader.get(key, defaults.get(key)):
            raise ConfigError(
                f'{where}.{key}: found {value!r} in this part alone, expected it in train_dataloader.dataset, which '
                f'validation, test and model follow; set train_dataloader.dataset.{key}'
            )
    for key, value in leader.items():
        wanted = key not in OWN or (key == 'img_dir' if is_training else key in ('ann_file', 'image_set', 'subset'))
        if wanted and options.get(key) is None:
            options[key] = value


def _discover(config: Config, train: dict, folds: Collection[str], is_part: bool) -> None:
    root = train.get('data_root') or '.'
    is_named = train.get('ann_file') is not None
    found: dict[str, dict[str, str]] = {}
    is_complete = is_named and not folds and all(_is_named(config, part) for part in PARTS)
    if '://' not in root and os.path.isdir(root) and not is_complete:
        found = discover(root, train.get('ann_file'))
    if not is_named:
        train.update(found.get('train', dict(ann_file='labels.csv')))
    others: list[dict] = []
    for part in PARTS:
        options = dataset_of(config, part)
        if options is None or options.get('type') != train['type']:
            continue
        if options.get('ann_file') is None:
            source = found.get(part) or found.get('test' if part == 'val' else 'val')
            if source is None and found:
                drop_part(config, part, root, is_told=not is_part)
                continue
            options.update(source or dict(ann_file='test.csv'))  # where the data can't be looked at
        other = {key: options[key] for key in ('ann_file', 'img_dir', 'subset') if options.get(key) is not None}
        others += [other] * (other not in others)
    # What another part, or nothing, is tested on here is still not trained on.
    untold = [part for part in PARTS if part in folds or (is_part and dataset_of(config, part) is None)]
    others += [found[part] for part in untold if part in found and found[part] not in others]
    if train.get('held_out') is None:
        train['held_out'] = others
    if train.get('class_names') is None and train.get('classes_from') is None:
        own = {key: train[key] for key in ('ann_file', 'subset') if train.get(key) is not None}
        train['classes_from'] = ['classes.csv', 'classes.txt', own if len(own) > 1 else train['ann_file']]
    for part in PARTS:
        options = dataset_of(config, part)
        if options is not None and options.get('type') == train['type'] and options.get('class_names') is None:
            options['classes_from'] = train['classes_from']


def _is_named(config: Config, part: str) -> bool:
    options = dataset_of(config, part)
    return options is None or options.get('ann_file') is not None


def _share_classes(config: Config, train: Mapping) -> None:
    """Give the model the classes of the training set, unless it has others."""
    model = config.get('model')
    if not model:
        return
    names, given = model.get('class_names'), train.get('class_names')
    shared = class_options(train)
    if isinstance(names, Mapping):
        # Options of a data set without its type, such as an override gives them: those of the training set besides.
        if names and names.keys() <= keywords_of(class_of(train)):
            config.model.class_names = shared | dict(names)
    elif names is None or (isinstance(names, str) and given is not None and names in (given, train['type'])):
        config.model.class_names = shared
    elif names == train['type'] and given is None:
        _shareown_classes(config, train)
    elif isinstance(names, str) and DATASETS.get(names) is None:
        below = os.path.join(train.get('data_root') or '', os.path.expanduser(names))
        if os.path.isfile(below):
            config.model.class_names = below


def _shareown_classes(config: Config, train: Any) -> None:
    """Where the files of the training set tell other classes than those of its type, they are those of all parts."""
    kind = class_of(train)
    try:
        names = DATASETS.build(dict(train, pipeline=[], lazy_init=True)).class_names
    except DataError:  # told where the images are read
        return
    if names == list(kind.METAINFO.get('classes', ())):
        return
    config.model.class_names = names
    own = {'class_names': names}
    if 'classes_from' in inspect.signature(kind).parameters and train.get('ann_file'):
        own = {'classes_from': os.path.abspath(os.path.join(train.get('data_root') or '', train['ann_file']))}
    for options in [train, *filter(None, (dataset_of(config, part) for part in PARTS))]:
        if options.get('type') == train['type'] and not (options.get('class_names') or options.get('classes_from')):
            options.update(own)
