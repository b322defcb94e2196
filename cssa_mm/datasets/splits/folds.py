"""Cross-validation over the labelled images: which images a fold trains on, and which it holds out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cssa_mm.datasets.splits.grouped import members_of
from cssa_mm.errors import ConfigError, nearest

KEYS = ('fold', 'num_splits', 'seed', 'test_mode')


def checked_fold(option: object) -> dict | None:
    """``dict(fold=0, num_splits=5, seed=None, test_mode=False)`` with its defaults, or None.

    Raises:
        ConfigError: The option has another form, or asks for a fold that there is not.
    """
    if option is None:
        return None
    if not isinstance(option, Mapping):
        raise ConfigError(f'fold: found {option!r}, expected dict(fold=0, num_splits=5) or None.')
    for key in option:
        if key not in KEYS:
            raise ConfigError(f"fold: found the key '{key}', expected {', '.join(KEYS)}.{nearest(key, KEYS)}")
    found = dict(fold=0, num_splits=5, seed=None, test_mode=False) | dict(option)
    whole = [found['fold'], found['num_splits'], found['seed'] if found['seed'] is not None else 0]
    fits = all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 0 for value in whole)
    if not fits or found['num_splits'] < 2 or found['fold'] >= found['num_splits']:
        raise ConfigError(
            f'fold: found fold={found["fold"]!r}, num_splits={found["num_splits"]!r} and seed={found["seed"]!r}, '
            'expected num_splits >= 2, a fold from 0 to num_splits - 1, and a seed >= 0 or None.'
        )
    return found


def kept_by_fold(option: Mapping, is_labelled: np.ndarray, groups: Sequence[str | None] | None = None) -> np.ndarray:
    """The images that a fold leaves, bool (n,): in training all but the held-out ones, in test mode those alone.

    The labelled images are dealt as mmpretrain's KFoldDataset deals all images: shuffled by the seed, if there is one,
    and cut into ``num_splits`` runs. A group goes where its first image goes; its unlabelled images are trained on by
    no fold that holds it out.

    Args:
        option: What :func:`checked_fold` returns.
        is_labelled: bool (n,).
        groups: The group of each of the n images; None is a group of its own.

    Raises:
        ConfigError: A fold is left without images.
    """
    labelled = np.flatnonzero(is_labelled).tolist()
    number, count = option['fold'], option['num_splits']
    members = members_of([None] * len(labelled) if groups is None else [groups[index] for index in labelled])
    units = [rows for index, rows in members.items() if rows[0] == index]
    order = list(range(len(units)))
    if option['seed'] is not None:
        np.random.default_rng(option['seed']).shuffle(order)
    ends = [len(labelled) * (fold + 1) // count for fold in range(count)]
    held: list[int] = []
    dealt = 0
    for unit in order:
        if np.searchsorted(ends, dealt, side='right') == number:
            held += units[unit]
        dealt += len(units[unit])
    if not held or len(held) == len(labelled):
        what = f'{len(labelled)} labelled images' + (f' in {len(units)} groups' if len(units) < len(labelled) else '')
        raise ConfigError(
            f'fold: found num_splits={count} for {what}, which leaves fold {number} without '
            f'{"images to train on" if held else "images"}, expected some in each; use fewer splits.'
        )
    is_held = np.zeros(len(is_labelled), dtype=bool)
    is_held[[labelled[row] for row in held]] = True
    if option['test_mode']:
        return is_held
    if groups is None:
        return ~is_held
    hidden = {groups[index] for index in np.flatnonzero(is_held).tolist()} - {None}
    return ~is_held & np.array([group not in hidden for group in groups], dtype=bool)
