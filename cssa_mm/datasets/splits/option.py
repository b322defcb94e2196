"""The ``split`` and ``validation`` keys of a data set: from what a config says to a verified split."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real

import numpy as np

from cssa_mm.datasets.image_table import UNKNOWN, ImageRecord
from cssa_mm.datasets.splits.checks import verify_split
from cssa_mm.datasets.splits.grouped import grouped_indices
from cssa_mm.datasets.splits.split import Split, load_split, make_split
from cssa_mm.errors import ConfigError, SplitError, nearest

SplitOption = str | os.PathLike | Mapping | None
KEYS = ('proportion', 'seed', 'stratified', 'at_most')
VALIDATION_KEYS = ('proportion', 'seed')


def resolve_split(
    option: SplitOption,
    image_ids: Sequence[str],
    labels: np.ndarray,
    class_names: Sequence[str],
    locate: Callable[[str], str],
    groups: Sequence[str | None] | None = None,
) -> Split | None:
    """The split that a config asks for, checked against the n images that it splits.

    Args:
        option: None, the path of a split file, or ``dict(proportion=.05, seed=1)``, drawn from the images of which the
            annotation says something, where ``stratified=True`` balances the classes and ``at_most=dict(spade=0)``
            limits the labelled positives of some.
        image_ids: Ids of the n images in order.
        labels: Their labels, int8 (n, C).
        class_names: The C class names.
        locate: Turns a path as written in a config into one that can be opened.
        groups: The group of each image, which no split may cut; None knows no groups.

    Raises:
        ConfigError: The option has another form.
        SplitError: The split does not fit the images.
    """
    if option is None:
        return None
    if isinstance(option, Mapping):
        _check_keys('split', option, KEYS)
        known = np.flatnonzero((labels != UNKNOWN).any(axis=1)).tolist()
        if 0 < len(known) < len(labels):  # the others can't be labelled ones
            image_ids, labels = [image_ids[i] for i in known], labels[known]
            groups = None if groups is None else [groups[i] for i in known]
        rule = dict(stratified=option.get('stratified', False), at_most=option.get('at_most'), groups=groups)
        return make_split(image_ids, option['proportion'], option.get('seed', 1), labels, class_names, **rule)
    if not isinstance(option, (str, os.PathLike)):
        raise ConfigError(
            f'split: found {option!r}, expected the path of a split file, dict(proportion=.05, seed=1) or None.'
        )
    path = locate(os.fspath(option))
    split = load_split(path)
    verify_split(split, image_ids, labels, class_names, path, groups)
    return split


def labelled_by(split: Split | None, image_ids: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Which of n images are labelled, bool (n,): those of the split, by default all with a known label.

    Args:
        split: The split, or None.
        image_ids: The n image ids.
        labels: The annotation, int8 (n, C).

    Raises:
        SplitError: The split labels an image of which the annotation says nothing.
    """
    has_labels = (labels != UNKNOWN).any(axis=1)
    if split is None:
        return has_labels
    chosen = set(split.image_ids)
    in_split = np.array([image_id in chosen for image_id in image_ids])
    blank = np.flatnonzero(in_split & ~has_labels)
    if blank.size:
        raise SplitError(
            f"split: found image id '{image_ids[blank[0]]}' as labelled, but the annotation has no label for it "
            f'({blank.size} such ids), expected annotated images; label those only.'
        )
    return in_split


def validation_part(
    option: Mapping | None,
    records: Sequence[ImageRecord],
    is_wanted: bool,
    groups: Mapping[str, str] | None = None,
) -> Sequence[ImageRecord]:
    """The images held out of a training set to choose settings on, or all others.

    Args:
        option: None, which holds out none, or ``dict(proportion=.3, seed=0)``: the fraction of the images with a known
            label that the seed draws.
        records: The images in order.
        is_wanted: True returns the images held out, False all others.
        groups: Image id -> group, for the images that have one. Whole groups are held out then: their images without
            a label are in neither part, as training on them would show it the held-out scene.

    Raises:
        ConfigError: The option has another form, holds out none or all of them, or is missing where they are wanted.
    """
    if option is None:
        if is_wanted:
            raise ConfigError("part: found 'validation' without validation=dict(proportion=.3, seed=0); give both.")
        return records
    if not isinstance(option, Mapping):
        raise ConfigError(f'validation: found {option!r}, expected dict(proportion=.3, seed=0) or None.')
    _check_keys('validation', option, VALIDATION_KEYS)
    known = [i for i, record in enumerate(records) if (record.labels != UNKNOWN).any()]
    share, seed = option['proportion'], option.get('seed', 0)
    count = int(float(share) * len(known)) if isinstance(share, Real) else 0
    if not 1 <= count < len(known) or not isinstance(seed, Integral) or seed < 0:
        raise ConfigError(
            f'validation: found {dict(option)}, which holds out {count} of {len(known)} labelled images, expected a '
            'proportion that holds out at least one and leaves at least one, and a seed >= 0.'
        )
    if groups is None:
        drawn = {known[i] for i in np.random.RandomState(int(seed)).permutation(len(known))[:count]}
        return [record for i, record in enumerate(records) if (i in drawn) == is_wanted]
    group_of = [groups.get(record.image_id) for record in records]
    drawn = {known[i] for i in grouped_indices([group_of[i] for i in known], count, int(seed), 'validation')}
    if is_wanted:
        return [record for i, record in enumerate(records) if i in drawn]
    held = {group_of[i] for i in drawn} - {None}
    return [record for i, record in enumerate(records) if i not in drawn and group_of[i] not in held]


def _check_keys(name: str, option: Mapping, known: Sequence[str]) -> None:
    for key in option:
        if key not in known:
            raise ConfigError(f"{name}: found the key '{key}', expected {', '.join(known)}.{nearest(key, known)}")
    if 'proportion' not in option:
        raise ConfigError(f'{name}: found {dict(option)}, expected dict(proportion=.05, seed=1).')
