"""The toolbox's wrappers as options of our data sets: ConcatDataset, RepeatDataset, ClassBalancedDataset, KFoldDataset.

A config keeps their names; before anything is built, the `dataset` section of a loader is written anew without them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmpretrain.datasets import KFoldDataset

from cssa_mm.datasets.base import SemiMultiLabelDataset
from cssa_mm.datasets.concat import ConcatMultiLabelDataset
from cssa_mm.datasets.splits.draws import checked_oversampling
from cssa_mm.datasets.splits.folds import KEYS as FOLD_KEYS
from cssa_mm.datasets.splits.folds import checked_fold
from cssa_mm.datasets.toolbox.own_sets import adapted, class_of
from cssa_mm.errors import ConfigError

Options = dict[str, Any]
CONCAT = (ConcatDataset, ConcatMultiLabelDataset)
DRAWS = {RepeatDataset: 'times', ClassBalancedDataset: 'oversample_thr'}
# What all parts of a join share, so that it stands beside them.
SHARED = ('pipeline', 'test_mode', 'backend_args')
OF_JOIN = {'datasets', 'split', 'part', 'validation', 'class_names', 'classes_from', 'wrong_labels', 'fold',
           'oversample', *SHARED}  # fmt: skip
IGNORED = {'type', 'lazy_init', 'ignore_keys', '_scope_'}
DELETE = 'dataset=dict(_delete_=True, type=...) in a config file drops what is inherited'


def unwrapped(options: Any, where: str, is_training: bool) -> Any:
    """The `dataset` section of a loader without wrappers, and with our data sets in place of the toolbox's.

    Args:
        options: The section, which stays as it is.
        where: Its key, for messages: 'train_dataloader.dataset'.
        is_training: Whether it is the training set.

    Raises:
        ConfigError: A wrapper has other options, or makes no sense there; or a data set of the toolbox has no match.
    """
    found = _unwrapped(options, where, is_training)
    fold = found.get('fold') if isinstance(found, Mapping) else None
    if fold is not None and bool(fold.get('test_mode', False)) == is_training:
        expected = 'the images of the other folds' if is_training else 'the labelled images of its fold'
        raise ConfigError(
            f'{where}.test_mode: found {bool(fold.get("test_mode"))} in a KFoldDataset, expected {not is_training}, '
            f'for {expected}'
        )
    return found


def is_join(options: Any) -> bool:
    """Whether a section joins several data sets."""
    return isinstance(options, Mapping) and class_of(options) in CONCAT


def is_ours(options: Mapping) -> bool:
    """Whether a section is a data set of this package."""
    kind = class_of(options)
    return isinstance(kind, type) and issubclass(kind, SemiMultiLabelDataset)


def leaves_of(options: Any) -> list[Any]:
    """The data sets that a section joins, however deep; itself where it is one."""
    if not is_join(options):
        return [options]
    return [leaf for part in options['datasets'] for leaf in leaves_of(part)]


def keys_of(options: Any, where: str) -> list[str]:
    """The keys of the data sets that `leaves_of` returns, of a section at the key `where`."""
    if not is_join(options):
        return [where]
    return [
        key for number, part in enumerate(options['datasets']) for key in keys_of(part, f'{where}.datasets.{number}')
    ]


def wrapped_in(options: Any) -> list[Any]:
    """The data sets below all wrappers of a section, which may be written in any way."""
    if not isinstance(options, Mapping) or 'type' not in options:
        return [options]
    kind = class_of(options)
    if kind in CONCAT and isinstance(options.get('datasets'), (list, tuple)):
        return [leaf for part in options['datasets'] for leaf in wrapped_in(part)]
    return wrapped_in(options.get('dataset')) if kind in {*DRAWS, KFoldDataset} else [options]


def _unwrapped(options: Any, where: str, is_training: bool) -> Any:
    if not isinstance(options, Mapping) or 'type' not in options:
        return options
    kind = class_of(options)
    if kind in CONCAT:
        return _joined(options, where, is_training)
    if kind is KFoldDataset:
        inner = _inside(options, where, FOLD_KEYS)
        fold = {key: options[key] for key in FOLD_KEYS if key in options}
        # What is written for training serves the held-out fold, too: only repeats make no sense there.
        found = _unwrapped(inner, f'{where}.dataset', is_training or bool(fold.get('test_mode')))
        _refuse_foreign(found, f'{where}.dataset', 'KFoldDataset')
        if found.get('fold') is not None:
            raise ConfigError(f'{where}.dataset: found a KFoldDataset in another, expected one; leave one out')
        return found | dict(fold=_told(checked_fold, fold, where)) | ({} if is_training else dict(oversample=None))
    if kind in DRAWS:
        return _repeated(options, where, is_training, kind)
    return adapted(options, where)


def _repeated(options: Mapping, where: str, is_training: bool, kind: Any) -> Options:
    key = DRAWS[kind]
    if not is_training:
        raise ConfigError(
            f'{where}: found a {kind.__name__}, which draws labelled images more often in training, expected the data '
            'set alone, as each test image counts once; leave the wrapper out'
        )
    if key not in options:
        raise ConfigError(f'{where}: found a {kind.__name__} without {key}, expected {key}=...; add it')
    found = _unwrapped(_inside(options, where, (key,)), f'{where}.dataset', is_training)
    _refuse_foreign(found, f'{where}.dataset', kind.__name__)
    steps = [*checked_oversampling(found.get('oversample')), {key: options[key]}]
    return found | dict(oversample=_told(checked_oversampling, steps, where))


def _inside(options: Mapping, where: str, own: Iterable[str]) -> Any:
    """The options of the data set in a wrapper, with those that stand beside it by an override or inheritance."""
    kind = class_of(options).__name__
    inner = options.get('dataset')
    if not isinstance(inner, Mapping) or 'type' not in inner:
        raise ConfigError(f'{where}.dataset: found {inner!r}, expected the data set of this {kind}, a dict with a type')
    beside = {key: value for key, value in options.items() if key not in {'dataset', *own, *IGNORED}}
    return _put_inside(dict(copy.deepcopy(inner)), beside, f'{where}.dataset', kind)


def _put_inside(inner: Options, beside: Mapping, where: str, kind: str) -> Options:
    for key, value in beside.items():
        if key == 'pipeline' or inner.get(key) is None:
            inner[key] = value
        elif value is not None and value != inner[key]:
            raise ConfigError(
                f'{where}.{key}: found {inner[key]!r} here and {value!r} beside the {kind}, expected one of them; '
                f'{DELETE}'
            )
    return inner


def _joined(options: Mapping, where: str, is_training: bool) -> Options:
    parts = options.get('datasets')
    if not isinstance(parts, (list, tuple)) or not parts:
        raise ConfigError(f'{where}.datasets: found {parts!r}, expected a list of data sets for this ConcatDataset')
    for number, part in enumerate(parts):
        if not isinstance(part, Mapping) or 'type' not in part:
            raise ConfigError(f'{where}.datasets.{number}: found {part!r}, expected a data set, a dict with a type')
    beside = {key: value for key, value in options.items() if key not in IGNORED | {'datasets'}}
    if len(parts) == 1 and class_of(options) is ConcatDataset:
        inner = _put_inside(dict(copy.deepcopy(parts[0])), beside, f'{where}.datasets.0', 'ConcatDataset')
        return _unwrapped(inner, f'{where}.datasets.0', is_training)
    stray = [key for key in beside if key not in OF_JOIN]
    if stray:
        told = ', '.join(stray) + (' (--labels)' if stray == ['ann_file'] else '')
        raise ConfigError(
            f'{where}: found {told} beside the {len(parts)} datasets of a ConcatDataset, expected it in each of them: '
            f'{where}.datasets.0.{stray[0]}=...; {DELETE}'
        )
    found = [_unwrapped(part, f'{where}.datasets.{number}', is_training) for number, part in enumerate(parts)]
    for number, part in enumerate(found):
        _refuse_foreign(part, f'{where}.datasets.{number}', 'ConcatDataset')
    shared = {key: _shared(key, beside, found, where) for key in SHARED}
    if not is_training and shared['test_mode'] is None:
        shared['test_mode'] = True
    for part in found:
        for key in SHARED:
            part.pop(key, None)
    said = {key: value for key, value in shared.items() if value is not None}
    return dict(beside, type='ConcatMultiLabelDataset', datasets=found) | said


def _shared(key: str, beside: Mapping, parts: Iterable[Mapping], where: str) -> Any:
    """What the join says, else what its parts say, which must be the same."""
    if beside.get(key) is not None:
        return beside[key]
    said = [(number, part[key]) for number, part in enumerate(parts) if part.get(key) is not None]
    for number, value in said[1:]:
        if value != said[0][1]:
            raise ConfigError(
                f'{where}.datasets.{number}.{key}: found another than in datasets.{said[0][0]}, expected one for all '
                f'parts, whose images share a batch; make them the same, or set {where}.{key}'
            )
    return said[0][1] if said else None


def _refuse_foreign(options: Any, where: str, wrapper: str) -> None:
    if not is_ours(options):
        raise ConfigError(
            f'{where}: found a {options["type"]} in a {wrapper}, expected a data set of cssa_mm, such as TableDataset, '
            'which knows which of its images are labelled'
        )


def _told(check: Any, value: Any, where: str) -> Any:
    try:
        return check(value)
    except ConfigError as error:
        raise ConfigError(f'{where}.{error}') from error
