"""A section without its wrappers: what they say goes to the data set inside, or is refused."""

import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset

from cssa_mm.datasets.toolbox.wrappers import keys_of, leaves_of, unwrapped, wrapped_in
from cssa_mm.errors import ConfigError

A, B = dict(type='TableDataset', data_root='a'), dict(type='TableDataset', data_root='b')


def repeated(dataset, times=2, **options):
    return dict(type='RepeatDataset', times=times, dataset=dataset, **options)


def joined(*parts, **options):
    return dict(type='ConcatDataset', datasets=list(parts), **options)


def train(options):
    return unwrapped(options, 'train_dataloader.dataset', is_training=True)


def test_what_needs_no_change_stays_the_same():
    assert train(A) == A
    assert train(None) is None
    assert train(dict(type='SomethingOfYours', x=1)) == dict(type='SomethingOfYours', x=1)
    assert train(train(joined(A, B))) == train(joined(A, B))


def test_wrappers_nest_in_any_order():
    balanced = dict(type='mmengine.ClassBalancedDataset', oversample_thr=0.1, dataset=repeated(A, 3))
    assert train(balanced) == A | dict(oversample=[dict(times=3), dict(oversample_thr=0.1)])
    fold = dict(type='KFoldDataset', fold=1, num_splits=3, dataset=balanced)
    expected = dict(fold=1, num_splits=3, seed=None, test_mode=False)
    assert train(fold) == A | dict(oversample=[dict(times=3), dict(oversample_thr=0.1)], fold=expected)
    found = train(repeated(joined(repeated(A), joined(B, A))))
    assert found['oversample'] == [dict(times=2)]
    assert found['datasets'][0]['oversample'] == [dict(times=2)]
    assert [leaf['data_root'] for leaf in leaves_of(found)] == ['a', 'b', 'a']
    places = ['w.datasets.0', 'w.datasets.1.datasets.0', 'w.datasets.1.datasets.1']
    assert keys_of(found, 'w') == places
    assert [leaf['data_root'] for leaf in wrapped_in(repeated(joined(repeated(A), joined(B, A))))] == ['a', 'b', 'a']


def test_classes_in_place_of_names():
    assert train(dict(type=RepeatDataset, times=2, dataset=A)) == A | dict(oversample=[dict(times=2)])
    assert train(dict(type=ConcatDataset, datasets=[A, B]))['type'] == 'ConcatMultiLabelDataset'


def test_a_join_of_one_is_that_one():
    assert train(joined(A)) == A
    assert train(joined(A, ann_file='labels.csv')) == A | dict(ann_file='labels.csv')


def test_the_pipeline_of_all_parts_stands_beside_them():
    steps, others = [dict(type='View', size=8)], [dict(type='View', size=9)]
    found = train(joined(A | dict(pipeline=steps), B))
    assert found['pipeline'] == steps
    assert all('pipeline' not in part for part in found['datasets'])
    assert train(joined(A | dict(pipeline=steps), B, pipeline=others))['pipeline'] == others
    assert unwrapped(joined(A, B), 'val_dataloader.dataset', is_training=False)['test_mode'] is True
    # mmpretrain's tool for cross-validation writes the pipeline of the test beside any wrapper.
    assert train(repeated(A | dict(pipeline=steps), pipeline=others))['pipeline'] == others


def test_options_stay_as_they_were():
    options = joined(repeated(dict(A, pipeline=[])), dict(B, pipeline=[]))
    before = repr(options)
    train(options)
    assert repr(options) == before


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (repeated(A, 0), r'dataset.times: found 0, expected a whole number'),
        (dict(type='RepeatDataset', dataset=A), r'dataset: found a RepeatDataset without times'),
        (
            dict(type='RepeatDataset', times=2),
            r'dataset.dataset: found None, expected the data set of this RepeatDataset',
        ),
        (repeated(A, data_root='c'), r"dataset.dataset.data_root: found 'a' here and 'c' beside the RepeatDataset"),
        (joined(), r'dataset.datasets: found \[\], expected a list'),
        (joined(A, 'b'), r"dataset.datasets.1: found 'b', expected a data set"),
        (joined(A, B, data_root='c'), r'found data_root beside the 2 datasets'),
        (joined(A, dict(type='SomethingOfYours')), r'datasets.1: found a SomethingOfYours in a ConcatDataset'),
        (joined(A, dict(type='CIFAR10')), r'datasets.1.type: found CIFAR10 of mmpretrain'),
        (joined(A | dict(test_mode=True), B | dict(test_mode=False)), r'datasets.1.test_mode: found another'),
        (dict(type='KFoldDataset', fold=9, dataset=A), r'train_dataloader.dataset.fold: found fold=9'),
        (
            dict(type='KFoldDataset', dataset=dict(type='KFoldDataset', dataset=A)),
            r'dataset.dataset: found a KFoldDataset in another',
        ),
    ],
)
def test_a_wrapper_that_makes_no_sense_is_one_line(options, words):
    with pytest.raises(ConfigError, match=words) as caught:
        train(options)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'kind', [dict(type='RepeatDataset', times=2), dict(type='ClassBalancedDataset', oversample_thr=1)]
)
def test_nothing_is_drawn_more_often_in_a_test(kind):
    where = 'val_dataloader.dataset'
    with pytest.raises(ConfigError, match=r'val_dataloader.dataset.datasets.1: found a .*, which draws labelled'):
        unwrapped(joined(A, dict(kind, dataset=B)), where, is_training=False)
    fold = dict(type='KFoldDataset', test_mode=True, dataset=dict(kind, dataset=A))
    assert unwrapped(fold, where, is_training=False)['oversample'] is None  # it was written for the training set
