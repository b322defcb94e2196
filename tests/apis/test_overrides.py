"""Overrides laid over a config: below None, into lists, whole dicts, and what is refused."""

import copy

import pytest
from mmengine.config import Config

import cssa_mm
from cssa_mm.apis.overrides import apply_overrides
from cssa_mm.errors import ConfigError


def base():
    return Config(
        dict(
            split=None,
            names='COCODataset',
            loader=dict(size=1, split=None, transforms=[dict(type='A', p=1), dict(type='B')], extra=None),
            listed=['a', 'b'],
        )
    )


def overridden(overrides):
    config = base()
    apply_overrides(config, overrides)
    return config.to_dict()


@pytest.mark.parametrize(
    'overrides',
    [
        {'loader.size': 2},
        {'loader.size': 2, 'loader.new.key': 3},
        {'loader.transforms.1.p': 2},
        {'loader.transforms.0': dict(p=3)},
        {'loader': dict(size=4)},
        {'loader': dict(_delete_=True, size=4)},
        {'loader._delete_': True, 'loader.size': 2},
        {'loader.transforms': dict([('0', dict(p=7))])},
        {'listed': ['c']},
        {'loader': None},
    ],
)
def test_what_mmengine_can_merge_is_merged_the_same(overrides):
    expected = base()
    expected.merge_from_dict(copy.deepcopy(overrides))
    assert overridden(overrides) == expected.to_dict()


@pytest.mark.parametrize(
    ('overrides', 'path', 'expected'),
    [
        ({'split.proportion': 0.5}, 'split', dict(proportion=0.5)),
        ({'split.proportion': 0.5, 'split.seed': 3}, 'split', dict(proportion=0.5, seed=3)),
        ({'loader.split.a.b': 1}, 'loader.split', dict(a=dict(b=1))),
        ({'split': dict(proportion=0.5)}, 'split', dict(proportion=0.5)),
        ({'loader': dict(split=dict(proportion=0.5))}, 'loader.split', dict(proportion=0.5)),
        ({'names': dict(type='TableDataset'), 'names.x': 1}, 'names', dict(type='TableDataset', x=1)),
        ({'listed': dict(type='Step')}, 'listed', dict(type='Step')),
        ({'listed.1': 'c'}, 'listed', ['a', 'c']),
    ],
)
def test_none_becomes_a_dict_and_a_whole_dict_replaces_what_has_no_keys(overrides, path, expected):
    found = overridden(overrides)
    for part in path.split('.'):
        found = found[part]
    assert found == expected


@pytest.mark.parametrize(
    ('overrides', 'reason'),
    [
        ({'names.image_column': 'x'}, "names.image_column: names is 'COCODataset' there, which has no keys"),
        ({'loader.size.x': 1}, 'loader.size.x: loader.size is 1 there'),
        ({'loader.transforms.2.p': 1}, 'loader.transforms.2: a list of 2 stands there'),
        ({'loader.transforms.p': 1}, 'loader.transforms.p: a list of 2 stands there'),
        ({'loader.transforms.².p': 1}, 'loader.transforms.²: a list of 2 stands there'),
        ({'listed.0.x': 1}, "listed.0.x: listed.0 is 'a' there"),
        ({'split': None, 'split.proportion': 1}, "'split' is overridden as a whole, too"),
        ({'split.proportion': 1, 'split': dict(seed=1)}, "'split' is overridden as a whole, too"),
        ({'a..b': 1}, 'a..b: not a dotted key'),
        ({3: 1}, '3: not a dotted key'),
    ],
)
def test_what_does_not_fit_is_refused_in_our_words(overrides, reason):
    with pytest.raises(ConfigError, match='--cfg-options: found an override that does not fit the config') as error:
        overridden(overrides)
    assert reason in str(error.value)
    assert '\n' not in str(error.value)


def test_the_overrides_stay_as_they_are():
    overrides = {'loader': dict(_delete_=True, size=4), 'loader.more': 5}
    assert overridden(overrides)['loader'] == dict(size=4, more=5)
    assert overrides == {'loader': dict(_delete_=True, size=4), 'loader.more': 5}


def test_a_split_is_drawn_where_the_config_has_none():
    found = cssa_mm.load_config('cssa_table', overrides={'train_dataloader.dataset.split.proportion': 0.5})
    assert found.train_dataloader.dataset.split == dict(proportion=0.5)
    with pytest.raises(ConfigError, match=r"unknown key 'train_dataloader.dataset.split.share'"):
        cssa_mm.load_config('cssa_table', overrides={'train_dataloader.dataset.split.share': 0.5})
