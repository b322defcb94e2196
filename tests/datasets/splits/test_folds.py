"""Folds of the labelled images, compared with mmpretrain's own KFoldDataset."""

import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmpretrain.datasets import KFoldDataset

from cssa_mm.datasets.splits.folds import checked_fold, kept_by_fold
from cssa_mm.errors import ConfigError


class Numbers(BaseDataset):
    """The numbers 0 to 22."""

    def load_data_list(self):
        return [dict(number=number) for number in range(23)]


def toolbox_fold(seed, **options):
    found = KFoldDataset(dict(type=Numbers, lazy_init=False), num_splits=5, seed=seed, **options)
    return {found.get_data_info(index)['number'] for index in range(len(found))}


@pytest.mark.parametrize('seed', [None, 0, 7])
@pytest.mark.parametrize('fold', range(5))
def test_the_labelled_images_are_dealt_as_mmpretrain_deals_all(fold, seed):
    labelled = np.random.default_rng(3).choice(60, 23, replace=False)
    labelled.sort()
    is_labelled = np.isin(np.arange(60), labelled)
    option = checked_fold(dict(fold=fold, num_splits=5, seed=seed))
    trained = kept_by_fold(option, is_labelled)
    held = kept_by_fold(option | dict(test_mode=True), is_labelled)
    assert {int(np.searchsorted(labelled, row)) for row in np.flatnonzero(held)} == toolbox_fold(
        seed, fold=fold, test_mode=True
    )
    assert not (held & ~is_labelled).any()
    assert (trained == ~held).all()  # all unlabelled images, and the labelled ones of the other folds


@pytest.mark.parametrize('seed', [None, 1, 2])
def test_no_fold_cuts_a_group_and_the_folds_hold_each_image_once(seed):
    rng = np.random.default_rng(5)
    groups = [None if group == 0 else f'film {group}' for group in rng.integers(0, 9, 80)]
    is_labelled = rng.random(80) < 0.5
    times_held = np.zeros(80, dtype=int)
    for fold in range(3):
        option = checked_fold(dict(fold=fold, num_splits=3, seed=seed))
        held = kept_by_fold(option | dict(test_mode=True), is_labelled, groups)
        trained = kept_by_fold(option, is_labelled, groups)
        times_held += held
        shown = {groups[row] for row in np.flatnonzero(held)} & {groups[row] for row in np.flatnonzero(trained)}
        assert shown <= {None}  # also its unlabelled images
        assert trained[[group is None for group in groups] & ~is_labelled].all()
    assert (times_held == is_labelled).all()


@pytest.mark.parametrize(
    'option',
    [
        dict(fold=5, num_splits=5),
        dict(fold=-1, num_splits=5),
        dict(num_splits=1),
        dict(num_splits=None),
        dict(seed=-1),
        dict(fold=0.5),
        dict(folds=3),
        3,
    ],
)
def test_a_fold_that_there_is_not_is_refused(option):
    with pytest.raises(ConfigError, match='^fold: found'):
        checked_fold(option)


def test_more_folds_than_labelled_images_are_refused():
    with pytest.raises(ConfigError, match='num_splits=5 for 3 labelled images'):
        kept_by_fold(checked_fold(dict(fold=0)), np.array([True, False, True, True]))
    with pytest.raises(ConfigError, match='4 labelled images in 1 groups'):
        kept_by_fold(checked_fold(dict(fold=0, num_splits=2)), np.ones(4, dtype=bool), ['film'] * 4)
