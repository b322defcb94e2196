import csv
import logging
import pickle
import random
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine import fileio
from mmengine.dataset import pseudo_collate
from mmpretrain.registry import DATASETS
from torch.utils.data import DataLoader, Subset

from cssa_mm.datasets import (
    COCOMultiLabelDataset,
    ImageRecord,
    LoadRGBImage,
    SemiMultiLabelDataset,
    VOCMultiLabelDataset,
    checks,
    sample_key,
)
from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.datasets.splits.split import labelled_indices, make_split, save_split
from cssa_mm.errors import ConfigError, DataError, SplitError

SPLIT = dict(proportion=0.5, seed=1)
LABELLED = sorted(labelled_indices(7, 0.5, 1).tolist())
UNLABELLED = sorted(set(range(7)) - set(LABELLED))


class FromRows(SemiMultiLabelDataset):
    """A data set of given labels, without image files."""

    METAINFO = dict(classes=('a', 'b', 'c'))
    rows: list[list[int]] = [[1, 0, 0], [1, -1, 0], [0, 1, -1], [0, 0, -1]]

    def load_images(self):
        return [ImageRecord(str(i), f'nowhere/{i}.jpg', np.array(row, np.int8)) for i, row in enumerate(self.rows)]


def test_a_new_data_set_is_one_method(tmp_path):
    """The example of the module's docstring, run."""

    class PetsDataset(SemiMultiLabelDataset):
        METAINFO = dict(classes=('cat', 'dog'))

        def load_images(self):
            path = self.in_root(self.ann_file)
            rows = csv.reader(self.read_text(path, 'a CSV file: file name, classes').splitlines())
            return [
                ImageRecord(name, self.image_path('', name, path), self.class_index.labels(classes.split(), path))
                for name, classes in rows
            ]

    (tmp_path / 'pets.csv').write_text('a.jpg,dog\nb.jpg,cat dog\nc.jpg,\n')
    for name in 'abc':
        (tmp_path / f'{name}.jpg').touch()
    data = PetsDataset(data_root=str(tmp_path), ann_file='pets.csv', split=dict(proportion=0.4))
    assert data.hidden_labels.tolist() == [[0, 1], [1, 1], [0, 0]]
    assert data.is_labelled.sum() == 1


# ---------------------------------------------------------------- annotations alone


@pytest.mark.parametrize('part', ['all', 'validation'])
def test_annotations_are_read_without_images_and_agree_with_the_data_set(coco_options, coco_root, part):
    """What validation holds out is no candidate for a label."""
    options = dict(validation=dict(proportion=0.3, seed=5), part=part, **coco_options)
    whole = COCOMultiLabelDataset(**options)
    for path in (coco_root / 'train').iterdir():
        path.unlink()
    data = COCOMultiLabelDataset(lazy_init=True, split='nowhere.txt', **options)
    image_ids, img_paths, labels = data.read_annotations()
    assert len(image_ids) == (2 if part == 'validation' else 5)
    assert (image_ids, img_paths) == (whole.image_ids, whole.img_paths)
    np.testing.assert_array_equal(labels, whole.hidden_labels)
    assert labels.dtype == np.int8
    with pytest.raises(DataError, match='found no such image'):
        len(data)


def test_annotations_without_any_image_and_with_doubled_ids_are_refused(monkeypatch):
    data = FromRows(lazy_init=True)
    monkeypatch.setattr(FromRows, 'rows', [])
    with pytest.raises(DataError, match='found no image, expected at least one'):
        data.read_annotations()
    twice = [ImageRecord('1', path, np.zeros(3, np.int8)) for path in ('a.jpg', 'b.jpg')]
    monkeypatch.setattr(FromRows, 'load_images', lambda self: twice)
    with pytest.raises(DataError, match="found image id '1' more than once"):
        data.read_annotations()


# ---------------------------------------------------------------- splits and parts


def test_without_a_split_every_image_is_labelled(coco_options):
    data = COCOMultiLabelDataset(**coco_options)
    assert data.is_labelled.all()
    assert data.split is None
    np.testing.assert_array_equal(data.labels, data.hidden_labels)


def test_a_split_hides_the_labels_of_the_other_images_and_keeps_the_truth_aside(coco_options):
    truth = COCOMultiLabelDataset(**coco_options).labels
    data = COCOMultiLabelDataset(split=SPLIT, **coco_options)
    assert data.labelled_indices.tolist() == LABELLED
    assert data.unlabelled_indices.tolist() == UNLABELLED
    np.testing.assert_array_equal(data.labels[LABELLED], truth[LABELLED])
    assert (data.labels[UNLABELLED] == -1).all()
    np.testing.assert_array_equal(data.hidden_labels, truth)


@pytest.mark.parametrize(('part', 'kept'), [('labelled', LABELLED), ('unlabelled', UNLABELLED)])
def test_a_part_keeps_its_images_only(coco_options, part, kept):
    whole = COCOMultiLabelDataset(split=SPLIT, **coco_options)
    data = COCOMultiLabelDataset(split=SPLIT, part=part, **coco_options)
    assert len(data) == len(kept)
    assert data.image_ids == [whole.image_ids[i] for i in kept]
    assert data.img_paths == [whole.img_paths[i] for i in kept]
    np.testing.assert_array_equal(data.labels, whole.labels[kept])
    np.testing.assert_array_equal(data.hidden_labels, whole.hidden_labels[kept])
    assert (data.is_labelled == (part == 'labelled')).all()


@pytest.mark.parametrize('where', ['below the root', 'absolute', 'working directory'])
def test_a_split_file_gives_the_split_that_it_was_saved_from(coco_options, tmp_path, monkeypatch, where):
    drawn = COCOMultiLabelDataset(split=SPLIT, **coco_options)
    directory = tmp_path if where != 'below the root' else tmp_path / 'coco'
    save_split(drawn.split, directory / 'splits' / 'p50.txt')
    if where == 'working directory':
        monkeypatch.chdir(tmp_path)
    path = str(directory / 'splits' / 'p50.txt') if where == 'absolute' else 'splits/p50.txt'
    loaded = COCOMultiLabelDataset(split=path, **coco_options)
    assert loaded.split == drawn.split
    np.testing.assert_array_equal(loaded.labels, drawn.labels)


def test_a_split_file_whose_header_does_not_fit_the_labels_is_refused(coco_options, coco_root):
    drawn = COCOMultiLabelDataset(split=SPLIT, **coco_options).split
    lying = replace(drawn, class_counts={**drawn.class_counts, 'dog': 9})
    save_split(lying, coco_root / 'p50.txt')
    with pytest.raises(SplitError, match='p50.txt: found class_counts 9 of dog in its header, expected the'):
        COCOMultiLabelDataset(split='p50.txt', **coco_options)


def test_the_validation_part_and_the_rest_share_no_image(coco_options):
    whole = COCOMultiLabelDataset(**coco_options)
    option = dict(proportion=0.3, seed=5)
    held_out = COCOMultiLabelDataset(part='validation', validation=option, split=SPLIT, **coco_options)
    rest = COCOMultiLabelDataset(validation=option, split=SPLIT, **coco_options)
    drawn = np.random.RandomState(5).permutation(7)[:2]
    assert held_out.image_ids == [whole.image_ids[i] for i in sorted(drawn)]
    assert sorted(held_out.image_ids + rest.image_ids) == sorted(whole.image_ids)
    np.testing.assert_array_equal(held_out.labels, whole.labels[sorted(drawn)])
    assert len(rest.split.image_ids) == 2  # half of the five images that are left
    assert set(rest.split.image_ids) <= set(rest.image_ids)


def test_only_images_of_which_something_is_known_are_held_out(monkeypatch):
    monkeypatch.setattr(FromRows, 'rows', [[-1, -1, -1]] * 20 + [[1, 0, 0], [0, 1, 0]])
    data = FromRows(part='validation', validation=dict(proportion=0.5))
    assert data.image_ids in (['20'], ['21'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(part='validation'), "found 'validation' without validation=dict"),
        (dict(validation=0.3), 'found 0.3, expected a dict'),
        (dict(validation=dict(share=0.3)), "found the key 'share', expected proportion, seed"),
        (dict(validation=dict(seed=1)), 'expected dict'),
        (dict(validation=dict(proportion=0.1)), 'holds out 0 of 7 labelled images'),
        (dict(validation=dict(proportion=1)), 'holds out 7 of 7'),
        (dict(validation=dict(proportion='half')), "'half'"),
        (dict(validation=dict(proportion=0.5, seed=-1)), "'seed': -1"),
    ],
)
def test_a_validation_part_of_the_wrong_form_is_refused_in_one_line(coco_options, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        COCOMultiLabelDataset(**options, **coco_options)
    assert '\n' not in str(caught.value)


def test_the_split_counts_the_labelled_positives_by_class(coco_options):
    data = COCOMultiLabelDataset(split=SPLIT, **coco_options)
    expected = (data.hidden_labels[LABELLED] == 1).sum(axis=0)
    assert data.split.class_counts == dict(zip(data.class_names, expected.tolist(), strict=True))


def test_an_unknown_part_is_refused_with_the_nearest_one(coco_options):
    with pytest.raises(ConfigError, match="found 'labeled', expected 'all'.*Did you mean 'labelled'"):
        COCOMultiLabelDataset(part='labeled', **coco_options)


def test_the_unlabelled_part_without_a_split_is_refused(coco_options):
    with pytest.raises(ConfigError, match='no image is unlabelled; give a split'):
        COCOMultiLabelDataset(part='unlabelled', **coco_options)


@pytest.mark.parametrize(
    ('split', 'error', 'message'),
    [
        (dict(propotion=0.1), ConfigError, "key 'propotion'.*Did you mean 'proportion'"),
        (dict(seed=1), ConfigError, 'expected dict'),
        (0.05, ConfigError, 'found 0.05, expected text, a dict'),
        (dict(proportion=0.05), SplitError, 'proportion 0.05 of 7 images labels 0'),
        ('nowhere.txt', SplitError, 'nowhere.txt: cannot be read'),
    ],
)
def test_a_split_of_the_wrong_form_is_refused_in_one_line(coco_options, split, error, message):
    with pytest.raises(error, match=message) as caught:
        COCOMultiLabelDataset(split=split, **coco_options)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('image_ids', 'message'),
    [
        (['x10', 'x100', 'x25', 'x33', 'x44', 'x58', 'x9'], r"'x\d+' that is not in the training set \(6 such ids\)"),
        (['100', '10', '25', '33', '44', '58', '9'], 'sha256'),
    ],
)
def test_a_split_of_other_data_is_refused(coco_root, coco_options, image_ids, message):
    save_split(make_split(image_ids, 0.9, 1), coco_root / 'split.txt')
    with pytest.raises(SplitError, match=message) as caught:
        COCOMultiLabelDataset(split='split.txt', **coco_options)
    assert str(caught.value).startswith(str(coco_root / 'split.txt'))


def test_images_of_which_nothing_is_known_are_unlabelled_without_any_split(monkeypatch):
    monkeypatch.setattr(FromRows, 'rows', [[1, 0, -1], [-1, -1, -1]])
    assert FromRows().is_labelled.tolist() == [True, False]


def test_a_split_that_labels_an_image_of_which_nothing_is_known_is_refused(monkeypatch):
    monkeypatch.setattr(FromRows, 'rows', [[-1, -1, -1]] * 10)
    with pytest.raises(SplitError, match=r'has no label for it \(5 such ids\)'):
        FromRows(split=dict(proportion=0.5))


# ---------------------------------------------------------------- rates and warnings


def test_positive_rates_count_known_cells_of_labelled_images_only(monkeypatch):
    """Oracle: counted by hand."""
    assert FromRows().positive_rates().tolist() == [2 / 4, 1 / 3, 0 / 2]
    monkeypatch.setattr(FromRows, 'rows', [[1, -1, 0], [-1, -1, -1], [0, -1, 1], [-1, -1, -1]])
    assert FromRows().positive_rates().tolist() == [1 / 2, 0, 1 / 2]


def test_positive_rates_ignore_what_the_split_hides(coco_options):
    data = COCOMultiLabelDataset(split=SPLIT, **coco_options)
    expected = data.hidden_labels[LABELLED].astype(float).mean(axis=0)
    np.testing.assert_array_equal(data.positive_rates(), expected)
    assert not np.array_equal(expected, data.hidden_labels.mean(axis=0))


@pytest.fixture
def warnings_said(monkeypatch) -> list[str]:
    said = []
    monkeypatch.setattr(checks, '_warned', set())
    monkeypatch.setattr(
        checks,
        'print_log',
        lambda message, logger, level: said.append(message) if level == logging.WARNING else None,
    )
    return said


def test_classes_without_a_labelled_positive_are_named_once(warnings_said, monkeypatch):
    monkeypatch.setattr(FromRows, 'rows', [[1, 0, 0]] * 9 + [[1, 1, 1]])
    for _ in range(2):
        FromRows(split=dict(proportion=0.1, seed=1))
    assert len(warnings_said) == 1
    assert 'no labelled image shows 2 of the 3 classes: b, c.' in warnings_said[0]


def test_a_test_set_does_not_warn_of_classes_without_positives(warnings_said, monkeypatch):
    monkeypatch.setattr(FromRows, 'rows', [[1, 0, 0]] * 9 + [[1, 1, 1]])
    FromRows(split=dict(proportion=0.1, seed=1), test_mode=True)
    assert warnings_said == []


# ---------------------------------------------------------------- items


def test_the_items_of_labelled_and_unlabelled_images(coco_options):
    data = COCOMultiLabelDataset(split=SPLIT, **coco_options)
    for index in range(7):
        item = data[index]
        assert set(item) == {'img_path', 'image_id', 'sample_idx', 'gt_score', 'gt_label', 'is_labelled'}
        assert (item['image_id'], item['img_path']) == (data.image_ids[index], data.img_paths[index])
        assert item['sample_idx'] == index
        assert item['gt_score'].dtype == np.float32
        assert item['is_labelled'] is (index in LABELLED)
        if index in LABELLED:
            np.testing.assert_array_equal(item['gt_score'], data.hidden_labels[index])
            np.testing.assert_array_equal(item['gt_label'], np.flatnonzero(data.hidden_labels[index]))
        else:
            assert item['gt_score'].tolist() == [-1, -1, -1]
            assert item['gt_label'].shape == (0,)


def test_no_item_of_an_unlabelled_image_changes_with_its_hidden_labels(coco_options, strong_pipeline):
    """What the model reads must be a function of the image alone."""
    data = COCOMultiLabelDataset(split=SPLIT, pipeline=strong_pipeline, **coco_options)

    def items():
        return [re.sub(' at 0x[0-9a-f]+', '', repr(data[SampleKey(i, 0)])) for i in UNLABELLED]

    before = items()
    data.hidden_labels[:] = 1 - data.hidden_labels
    assert items() == before


def test_packed_items_carry_labels_and_ids_to_the_model(coco_options, strong_pipeline):
    data = COCOMultiLabelDataset(split=SPLIT, pipeline=strong_pipeline, **coco_options)
    for index in (LABELLED[0], UNLABELLED[0]):
        item = data[index]
        sample = item['data_samples']
        assert item['inputs'].shape == (3, 16, 16)
        assert item['inputs'].dtype == torch.uint8
        assert sample.gt_score.tolist() == data.labels[index].tolist()
        assert sample.gt_label.tolist() == np.flatnonzero(data.labels[index] == 1).tolist()
        assert sample.image_id == data.image_ids[index]
        assert sample.is_labelled is bool(data.is_labelled[index])


def test_an_augmentation_depends_on_its_key_alone(coco_options, strong_pipeline):
    data = COCOMultiLabelDataset(pipeline=strong_pipeline, **coco_options)
    keys = [SampleKey(index=i % 7, seed=i) for i in range(14)]
    expected = [data[key]['inputs'] for key in keys]
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    for key, image in reversed(list(zip(keys, expected, strict=True))):
        assert torch.equal(data[key]['inputs'], image)
    assert len({image.numpy().tobytes() for image in expected}) == 14


@pytest.mark.parametrize('num_workers', [1, 2])
def test_worker_processes_give_the_items_of_one_process(coco_options, strong_pipeline, num_workers):
    data = COCOMultiLabelDataset(split=SPLIT, pipeline=strong_pipeline, **coco_options)
    keys = [SampleKey(index=i % 7, seed=100 + i) for i in range(10)]
    loader = DataLoader(
        data,
        batch_size=3,
        sampler=keys,
        num_workers=num_workers,
        collate_fn=pseudo_collate,
    )
    loaded = [image for batch in loader for image in batch['inputs']]
    assert all(torch.equal(image, data[key]['inputs']) for image, key in zip(loaded, keys, strict=True))


def test_reading_with_a_key_leaves_the_global_generators_alone(coco_options, strong_pipeline):
    data = COCOMultiLabelDataset(pipeline=strong_pipeline, **coco_options)
    before = state_of_generators()
    data[SampleKey(0, 5)]
    data.__getitems__([SampleKey(0, 5), SampleKey(1, 6)])
    np.testing.assert_equal(state_of_generators(), before)


def test_a_batch_has_the_items_of_its_keys_one_by_one(coco_options, strong_pipeline):
    data = COCOMultiLabelDataset(split=SPLIT, pipeline=strong_pipeline, **coco_options)
    keys = [SampleKey(index=i % 7, seed=2**33 * i) for i in (3, 1, 3, 8, 0, 10)]
    batch = data.__getitems__(keys)
    assert len(batch) == len(keys)
    for key, item in zip(keys, batch, strict=True):
        alone = data[key]
        assert torch.equal(item['inputs'], alone['inputs'])
        assert item['data_samples'].image_id == alone['data_samples'].image_id == data.image_ids[key.index]
        assert item['data_samples'].gt_score.tolist() == data.labels[key.index].tolist()
    assert data.__getitems__([]) == []


def test_a_batch_has_the_items_of_a_subclass(coco_options):
    class Numbered(COCOMultiLabelDataset):
        def __getitem__(self, key):
            return super().__getitem__(key) | dict(number=int(key))

    data = Numbered(pipeline=[dict(type='LoadRGBImage')], **coco_options)
    assert [item['number'] for item in data.__getitems__([2, 0])] == [2, 0]


def draw(item: dict | None = None) -> dict:
    """A pipeline that shows what the three generators draw."""
    return dict(item or {}, drawn=(random.random(), np.random.rand(), torch.rand(1).item()))


def seed_all(seed: int) -> None:
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)


def test_a_seed_decides_what_all_three_generators_draw(coco_options):
    data = COCOMultiLabelDataset(pipeline=[draw], **coco_options)
    for seed in (4, 5, 2**40 + 2**31 + 1):
        torch_s = torch.rand(1, generator=torch.Generator().manual_seed(seed)).item()
        expected = (random.Random(seed).random(), np.random.RandomState(seed % 2**32).rand(), torch_s)
        assert data[SampleKey(0, seed)]['drawn'] == data[SampleKey(1, seed)]['drawn'] == expected


def test_plain_indices_among_keys_draw_what_they_would_without_them(coco_options):
    data = COCOMultiLabelDataset(pipeline=[draw], **coco_options)
    seed_all(3)
    expected = [draw()['drawn'] for _ in range(4)]
    seed_all(3)
    batch = data.__getitems__([5, SampleKey(0, 1), SampleKey(2, 7), 5, np.int64(6), SampleKey(0, 1)])
    assert [batch[i]['drawn'] for i in (0, 3, 4)] == expected[:3]
    assert draw()['drawn'] == expected[3]
    assert [item['sample_idx'] for item in batch] == [5, 0, 2, 5, 6, 0]
    assert batch[1]['drawn'] == batch[5]['drawn'] == data[SampleKey(0, 1)]['drawn']


def fail_after_drawing(item):
    draw()
    if item['sample_idx'] == 2:
        raise ZeroDivisionError
    return item


def state_of_generators() -> tuple:
    return random.getstate(), np.random.get_state()[1:3], torch.get_rng_state().tolist()


@pytest.mark.parametrize('read', [lambda data, keys: data[keys[2]], lambda data, keys: data.__getitems__(keys)])
def test_the_generators_are_restored_after_an_error_too(coco_options, read):
    data = COCOMultiLabelDataset(pipeline=[fail_after_drawing], **coco_options)
    before = state_of_generators()
    with pytest.raises(ZeroDivisionError):
        read(data, [SampleKey(0, 1), SampleKey(1, 1), SampleKey(2, 2**40 + 1), SampleKey(3, 1)])
    np.testing.assert_equal(state_of_generators(), before)


def test_loaders_ask_for_a_batch_at_a_time_and_the_generators_are_kept_once(coco_options, monkeypatch):
    """Through PyTorch's subset too, whose items are those of the data set."""
    data = COCOMultiLabelDataset(pipeline=[draw], **coco_options)
    kept = []
    monkeypatch.setattr(sample_key, 'random', SimpleNamespace(**vars(random)), raising=True)
    monkeypatch.setattr(sample_key.random, 'getstate', lambda: kept.append(1) or random.getstate())
    keys = [SampleKey(i, 9 * i) for i in range(7)]
    for dataset, sampler in ((data, keys), (Subset(data, keys), range(7))):
        kept.clear()
        loader = DataLoader(dataset, batch_size=3, sampler=sampler, collate_fn=pseudo_collate)
        loaded = [values for batch in loader for values in zip(*batch['drawn'], strict=True)]
        assert len(kept) == 3
        assert loaded == [data[key]['drawn'] for key in keys]


def test_an_unreadable_image_stops_the_run_and_is_never_replaced(coco_root, coco_options, strong_pipeline):
    data = COCOMultiLabelDataset(pipeline=strong_pipeline, **coco_options)
    (coco_root / 'train' / '000000000100.jpg').write_bytes(b'nothing')
    with pytest.raises(DataError, match='000000000100.jpg: found no readable image'):
        data[data.image_ids.index('100')]


def test_a_pipeline_that_drops_an_image_is_an_error(coco_options):
    data = COCOMultiLabelDataset(pipeline=[lambda item: None], **coco_options)
    with pytest.raises(DataError, match='000000000010.jpg: the pipeline returned nothing'):
        data[0]


# ---------------------------------------------------------------- copies


def test_with_pipeline_restricts_a_copy_and_leaves_the_original(coco_options, strong_pipeline):
    data = COCOMultiLabelDataset(split=SPLIT, **coco_options)
    scored = data.with_pipeline(strong_pipeline, indices=data.unlabelled_indices)
    assert scored.image_ids == [data.image_ids[i] for i in UNLABELLED]
    assert scored[0]['data_samples'].image_id == data.image_ids[UNLABELLED[0]]
    np.testing.assert_array_equal(scored.hidden_labels, data.hidden_labels[UNLABELLED])
    assert scored.test_mode
    assert not data.test_mode
    assert len(data) == 7
    assert 'inputs' not in data[0]


@pytest.mark.parametrize(('indices', 'kept'), [(2, [0, 1]), (-2, [5, 6]), (np.int64(2), [0, 1]), ([4, 1], [4, 1])])
def test_a_subset_keeps_the_chosen_images(coco_options, indices, kept):
    data = COCOMultiLabelDataset(split=SPLIT, **coco_options)
    subset = data.get_subset(indices)
    assert subset.image_ids == [data.image_ids[i] for i in kept]
    assert subset.is_labelled.tolist() == [i in LABELLED for i in kept]
    data.get_subset_(indices)
    assert data.image_ids == subset.image_ids


def test_a_pickled_data_set_reads_the_same(coco_options, strong_pipeline):
    data = COCOMultiLabelDataset(split=SPLIT, pipeline=strong_pipeline, **coco_options)
    copy = pickle.loads(pickle.dumps(data))
    assert copy.image_ids == data.image_ids
    assert torch.equal(copy[SampleKey(1, 1)]['inputs'], data[SampleKey(1, 1)]['inputs'])


# ---------------------------------------------------------------- the toolbox and bad input


def test_the_registry_builds_it_and_the_toolbox_reads_its_classes(coco_options):
    data = DATASETS.build(dict(type='COCOMultiLabelDataset', **coco_options))
    assert list(data.CLASSES) == list(data.metainfo['classes']) == data.class_names
    assert data.get_cat_ids(1) == [0, 2]
    assert 'Number of samples: \t7' in repr(data)


def test_an_unknown_key_is_refused(coco_options):
    with pytest.raises(TypeError, match='splt'):
        COCOMultiLabelDataset(splt=SPLIT, **coco_options)


def test_lazy_init_reads_nothing_before_it_is_asked_to(coco_options):
    data = COCOMultiLabelDataset(lazy_init=True, **{**coco_options, 'ann_file': 'nowhere.json'})
    assert data.class_names == coco_options['class_names']
    with pytest.raises(DataError, match='nowhere.json'):
        len(data)


def test_class_names_are_read_from_a_file(coco_root, coco_options):
    (coco_root / 'classes.txt').write_text('dog\n\ndining_table\nperson \n')
    data = COCOMultiLabelDataset(**{**coco_options, 'class_names': 'classes.txt'})
    assert data.class_names == ['dog', 'dining_table', 'person']
    assert data.labels[1].tolist() == [0, 1, 1]


def test_a_missing_file_of_class_names_is_named(coco_options):
    with pytest.raises(DataError, match='classes.txt: cannot be read .*one class name a line'):
        COCOMultiLabelDataset(**{**coco_options, 'class_names': 'classes.txt'})


@pytest.mark.parametrize('class_names', [['dog', 'cat', 'Dog'], ['dining table', 'diningtable']])
def test_a_class_that_is_named_twice_is_refused(coco_options, class_names):
    with pytest.raises(DataError, match=f"class_names: found '{class_names[-1]}' twice"):
        COCOMultiLabelDataset(**{**coco_options, 'class_names': class_names})


def test_a_data_set_without_class_names_is_refused(coco_options):
    with pytest.raises(ConfigError, match='class_names: found none for '):
        COCOMultiLabelDataset(**{**coco_options, 'class_names': []})


def test_missing_images_are_named_and_counted_before_training(coco_root, coco_options):
    for name in ('000000000025', '000000000058'):
        (coco_root / 'train' / f'{name}.jpg').unlink()
    with pytest.raises(DataError, match=r'train/000000000025.jpg: found no such image \(2 of 7 are missing\)'):
        COCOMultiLabelDataset(**coco_options)


def test_a_missing_image_directory_is_named_with_the_first_image(coco_options, strong_pipeline):
    data = COCOMultiLabelDataset(**{**coco_options, 'img_dir': 'nowhere'}, pipeline=strong_pipeline)
    with pytest.raises(DataError, match='nowhere/000000000010.jpg: cannot be read'):
        data[0]


def test_an_image_is_found_by_its_id(coco_options):
    data = COCOMultiLabelDataset(split=SPLIT, **coco_options)
    assert [data.index_of(image_id) for image_id in data.image_ids] == list(range(7))
    assert data.index_of(100) == data.index_of('100')
    assert data.get_subset([5, 2]).index_of(data.image_ids[2]) == 1


def test_an_unknown_id_is_refused_with_the_nearest_one(coco_options):
    data = COCOMultiLabelDataset(**coco_options)
    with pytest.raises(DataError, match="found '1000', expected one of the 7 ids .* like '10'. Did you mean '100'"):
        data.index_of('1000')


# ---------------------------------------------------------------- roots, storages and encodings


class Bucket(fileio.BaseStorageBackend):
    """A storage of which nothing but reading is known; the local folder ``shelf`` is its bucket."""

    def __init__(self, shelf: str):
        self.shelf = shelf

    def get(self, filepath):
        name = filepath.removeprefix('bucket://x/')
        assert name != filepath, filepath
        with open(f'{self.shelf}/{name}', 'rb') as file:
            return file.read()

    def get_text(self, filepath, encoding='utf-8'):
        return self.get(filepath).decode(encoding)


@pytest.fixture
def bucket(monkeypatch):
    """bucket(folder) -> data_root and backend_args of a storage that holds what the folder does."""
    monkeypatch.setitem(fileio.io.backends, 'bucket', Bucket)
    monkeypatch.setitem(fileio.io.prefix_to_backends, 'bucket', Bucket)
    return lambda folder: dict(data_root='bucket://x', backend_args=dict(backend='bucket', shelf=str(folder)))


def test_one_key_reads_annotations_and_images_from_a_storage(bucket, coco_root, coco_options, strong_pipeline):
    (coco_root / 'names.txt').write_text('person\ndog\ndining table\n')
    local = COCOMultiLabelDataset(**coco_options, pipeline=strong_pipeline)
    options = coco_options | bucket(coco_root) | dict(class_names='names.txt')
    data = COCOMultiLabelDataset(**options, pipeline=strong_pipeline)
    assert data.image_ids == local.image_ids
    assert data.class_names == local.class_names
    assert data.img_paths[0] == 'bucket://x/train/000000000010.jpg'
    key = SampleKey(1, 1)
    assert torch.equal(data[key]['inputs'], local[key]['inputs'])
    again = data.with_pipeline(strong_pipeline, indices=[1])
    assert torch.equal(again[SampleKey(0, 1)]['inputs'], local[key]['inputs'])


def test_voc_is_read_from_a_storage(bucket, voc_root):
    data = VOCMultiLabelDataset(**bucket(voc_root), pipeline=[dict(type='LoadRGBImage')])
    np.testing.assert_array_equal(data.labels, VOCMultiLabelDataset(data_root=str(voc_root)).labels)
    assert data[0]['img'].shape == (20, 30, 3)


def test_no_directory_of_a_storage_is_listed(bucket, coco_root, coco_options, monkeypatch):
    monkeypatch.setattr(checks.os, 'listdir', lambda path: pytest.fail(f'listed {path}'))
    COCOMultiLabelDataset(**coco_options | bucket(coco_root))


def test_a_storage_behind_local_looking_paths_is_not_looked_for_on_the_disk(coco_root, coco_options, monkeypatch):
    """Such as a path mapping: the directory may exist here, with other files."""

    class Mapped(Bucket):
        def get(self, filepath):
            return super().get(filepath.replace(str(coco_root), 'bucket://x'))

    monkeypatch.setitem(fileio.io.backends, 'mapped', Mapped)
    (coco_root / 'train' / '000000000025.jpg').unlink()
    options = coco_options | dict(backend_args=dict(backend='mapped', shelf=str(coco_root)))
    assert len(COCOMultiLabelDataset(**options)) == 7


def test_a_loader_keeps_the_storage_that_it_was_given(bucket, coco_root, coco_options):
    own = dict(backend='local')
    data = COCOMultiLabelDataset(
        **coco_options | bucket(coco_root), pipeline=[LoadRGBImage(), LoadRGBImage(backend_args=own)]
    )
    first, second = data.pipeline.transforms
    assert (first.backend_args, second.backend_args) == (data.backend_args, own)


def test_a_file_that_the_storage_lacks_is_named(bucket, coco_root, coco_options):
    options = coco_options | bucket(coco_root) | dict(ann_file='nowhere.json')
    with pytest.raises(DataError, match='^bucket://x/nowhere.json: cannot be read .*check data_root'):
        COCOMultiLabelDataset(**options)


@pytest.mark.parametrize('changes', [dict(data_root='s9://x'), dict(backend_args=dict(backend='bukcet'))])
def test_a_storage_that_nobody_knows_is_refused_in_one_line(coco_options, changes):
    with pytest.raises(ConfigError, match='^backend_args: found .*gives no storage backend') as caught:
        COCOMultiLabelDataset(**coco_options | changes)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('root', 'parts', 'expected'),
    [
        ('data/x', ('a', 'b.json'), 'data/x/a/b.json'),
        ('data/x/', ('', 'b.json'), 'data/x/b.json'),
        ('', ('b.json',), 'b.json'),
        ('data/x', ('/a', 'b.json'), '/a/b.json'),
        ('s3://bucket/x', ('a', 'b.json'), 's3://bucket/x/a/b.json'),
        ('s3://bucket/x/', ('b.json',), 's3://bucket/x/b.json'),
        ('data/x', ('s3://bucket/y', 'b.json'), 's3://bucket/y/b.json'),
    ],
)
def test_paths_start_at_the_root_unless_they_have_one_of_their_own(root, parts, expected):
    assert FromRows(data_root=root, lazy_init=True).in_root(*parts) == expected


ESCAPES = [
    ('data', 'img', 'a.jpg', True),
    ('data', 'img', 'sub/a.jpg', True),
    ('data', 'img', '../other/a.jpg', True),
    ('data', 'img', 'a..b.jpg', True),
    ('data', 'img', '../../a.jpg', False),
    ('data', 'img', '../../data2/a.jpg', False),
    ('data', 'img', 'sub/../../../data/img/a.jpg', True),
    ('data', 'img', '/etc/a.jpg', False),
    ('data', 'img', 's3://b/a.jpg', False),
    ('data', '../elsewhere', 'a.jpg', True),
    ('data', '/elsewhere', 'a.jpg', True),
    ('data', '/elsewhere', 'sub/../a.jpg', True),
    ('data', '/elsewhere', '../a.jpg', False),
    ('/data', 'img', '/data/img/a.jpg', True),
    ('/data', 'img', '/data/img/../../a.jpg', False),
    ('/data', 'img', '/database/a.jpg', False),
    ('', '', 'a.jpg', True),
    ('', '', '../a.jpg', False),
    ('', '', 's3://b/a.jpg', False),
    ('s3://b/x', 'img', '../a.jpg', True),
    ('s3://b/x', 'img', '../../a.jpg', False),
    ('s3://b/x', 'img', 's3://b/x/a.jpg', True),
    ('s3://b/x', 'img', 's3://b/y/a.jpg', False),
    ('s3://b/x', 'img', '/etc/a.jpg', False),
]


@pytest.mark.parametrize(('root', 'img_dir', 'name', 'stays'), ESCAPES)
def test_images_of_an_annotation_lie_below_the_root_or_the_directory_of_the_config(root, img_dir, name, stays):
    data = FromRows(data_root=root, lazy_init=True)
    if stays:
        assert data.image_path(img_dir, name, 'x.json') == data.in_root(img_dir, name)
    else:
        with pytest.raises(DataError, match=f"^x.json: found the image '{name}', which lies outside of data_root"):
            data.image_path(img_dir, name, 'x.json')


def test_linked_images_stay_below_the_root(coco_root, coco_options, tmp_path):
    """Data sets are large: their directories are often links to another disk."""
    (coco_root / 'train').rename(tmp_path / 'disk')
    (coco_root / 'train').symlink_to(tmp_path / 'disk')
    assert len(COCOMultiLabelDataset(**coco_options)) == 7
    assert COCOMultiLabelDataset(**coco_options).image_path('train', '../train/9.jpg', 'x.json')


def test_a_byte_order_mark_is_no_part_of_the_text(coco_root, coco_options):
    expected = COCOMultiLabelDataset(**coco_options).image_ids
    path = coco_root / 'instances.json'
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    assert COCOMultiLabelDataset(**coco_options).image_ids == expected
