"""Training over a few bad images, through the real runner."""

import copy
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS
from PIL import Image

from cssa_mm.datasets import bad_images as module
from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.engine import bad_image_hook
from cssa_mm.engine.bad_image_hook import BadImageHook, tolerated_bad_images
from cssa_mm.engine.config.guard import check_config
from cssa_mm.errors import ConfigError, DataError, ImageError
from cssa_mm.semi import PseudoLabelHook, SemiSupervision
from cssa_mm.semi.bank import PseudoLabelBank
from cssa_mm.semi.policies import PseudoLabels, build_policy, label_rows
from cssa_mm.semi.semi_supervision import State
from cssa_mm.semi.statistics import labels_used

STRONG_VIEW = [
    dict(type='View', size=None),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Cutout', shape=16, prob=0.5),
    dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip')),
]
STRONG = {'train_dataloader.dataset.pipeline': STRONG_VIEW}


@pytest.fixture
def data(toy_data, tmp_path) -> Path:
    """The toy data to spoil."""
    return shutil.copytree(toy_data, tmp_path / 'data')


@pytest.fixture
def ids(tiny_config):
    """Ids of a labelled and of an unlabelled training image."""
    dataset = DATASETS.build(tiny_config().train_dataloader.dataset)
    return dataset.image_ids[dataset.labelled_indices[3]], dataset.image_ids[dataset.unlabelled_indices[5]]


@pytest.fixture
def train(tiny_config, data, tmp_path):
    """train(name, **overrides) -> the runner after training on the copied data, in the work directory `name`."""

    def call(name='run', **overrides):
        roots = {f'{part}_dataloader.dataset.data_root': str(data) for part in ('train', 'val', 'test')}
        runner = Runner.from_cfg(tiny_config(work_dir=str(tmp_path / name), **roots, **overrides))
        call.last = runner
        runner.train()
        return runner

    return call


def bank_of(runner: Runner) -> PseudoLabelBank:
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
    return hook.semi_supervision.state.bank


def spoil(data: Path, image_id: str, content: bytes = b'') -> Path:
    path = data / 'train' / f'{image_id}.png'
    path.write_bytes(content)
    return path


def same(model, other) -> bool:
    state = other.state_dict()
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


# -- items ------------------------------------------------------------------------------------------------------


def test_a_bad_image_becomes_a_neutral_item_and_the_others_stay_as_they_are(tiny_config, data, ids):
    config = tiny_config(**STRONG).train_dataloader.dataset
    config.data_root = str(data)
    whole = DATASETS.build(config)
    before = [whole[SampleKey(index, 7)] for index in range(len(whole))]
    path = spoil(data, ids[0])
    with pytest.raises(ImageError, match=f'^{path}: found an empty file'):
        whole[SampleKey(whole.image_ids.index(ids[0]), 7)]
    whole.bad_images = BadImages((64, 64))
    for index, expected in enumerate(before):
        item = whole[SampleKey(index, 7)]
        assert item['inputs'].shape == (3, 64, 64)
        if whole.image_ids[index] == ids[0]:
            assert item['data_samples'].gt_score.tolist() == [-1] * 6
            assert item['data_samples'].gt_label.tolist() == []
            assert item['data_samples'].bad_image == 'found an empty file'
            assert item['data_samples'].image_id == ids[0]
            assert len(np.unique(item['inputs'].reshape(3, -1), axis=1).T) <= 2  # mean colour, cutout
        else:
            assert torch.equal(item['inputs'], expected['inputs'])
            assert 'bad_image' not in item['data_samples']


def test_an_item_without_packing_is_flagged_too_and_noted_by_its_id():
    info = dict(image_id='a', img_path='a.jpg', gt_score=np.ones(2, np.float32), gt_label=np.arange(2))
    bad_images = BadImages((2, 3))

    def pipeline(results):
        if 'img' not in results:
            results['touched'] = True
            raise ImageError('a.jpg: found no readable image, expected one')
        return results

    item = bad_images.item(pipeline, info)
    assert item['bad_image'] == 'found no readable image'
    assert 'touched' not in item
    assert item['img'].shape == (2, 3, 3)
    assert (info['gt_score'] == 1).all()
    assert bad_images.reasons == {}
    bad_images.note([item, dict(image_id='b')])
    assert bad_images.reasons == {'a': 'found no readable image'}
    assert bad_images.among(['b', 'a']).tolist() == [False, True]


def test_other_errors_of_a_pipeline_are_no_bad_images():
    def pipeline(results):
        raise DataError('class_names: wrong')

    with pytest.raises(DataError, match='class_names'):
        BadImages().item(pipeline, dict(image_id='a', img_path='a.jpg'))


# -- losses and pseudo-labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize('reduction', ['sum', 'mean', 'batch_mean'])
@pytest.mark.parametrize('is_labelled', [True, False])
def test_a_bad_image_contributes_to_no_loss_whatever_the_bank_says(make_model, make_sample, reduction, is_labelled):
    model = make_model(loss=dict(reduction=reduction))
    ids = ['a', 'b', 'c', 'd']
    none = torch.zeros(6)
    bank = PseudoLabelBank(ids, PseudoLabels(torch.randint(0, 2, (4, 6)).to(torch.int8), None, none, none))
    algorithm = SemiSupervision(model, None, None, None, state=State(bank))
    torch.manual_seed(0)
    inputs = torch.randn(4, 3, 64, 64)
    samples = [make_sample(name, [1, 0, 1, 0, 0, 1], index < 2) for index, name in enumerate(ids)]
    bad = 1 if is_labelled else 2
    kept = [index for index in range(4) if index != bad]
    others = [samples[index] for index in kept]
    expected = model.loss(inputs[kept], others, algorithm.targets(others))
    with_bad = model.loss(inputs, samples, algorithm.targets(samples))
    samples[bad].set_metainfo(dict(bad_image='truncated'))
    found = model.loss(inputs, samples, algorithm.targets(samples))
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    assert any(not torch.allclose(found[name], with_bad[name]) for name in found)


def test_a_bad_image_is_in_no_rank_and_no_quota():
    """Oracle: the policy on the other images alone."""
    torch.manual_seed(0)
    scores, rates = torch.rand(40, 3), torch.tensor([0.1, 0.5, 0.9])
    rows = torch.ones(40, dtype=torch.bool)
    rows[[0, 7, 31]] = False
    scores[7] = 5.0
    policy = build_policy('cat')
    found, expected = label_rows(policy, scores, rates, rows), policy(scores[rows], rates)
    assert torch.equal(found.labels[rows], expected.labels)
    assert (found.labels[~rows] == -1).all()
    assert torch.equal(found.positive_thresholds, expected.positive_thresholds)
    assert not torch.equal(found.positive_thresholds, policy(scores, rates).positive_thresholds)


# -- whole runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('views', 'workers'), [({}, 0), (STRONG, 2)], ids=['cached features', 'strong views'])
def test_what_is_in_a_bad_file_and_in_its_place_does_not_matter(train, data, ids, monkeypatch, views, workers):
    options = views | {
        'default_hooks.bad_images.max_share': 0.1,
        'train_dataloader.num_workers': workers,
        'default_hooks.pseudo_labels.num_workers': workers,
    }
    whole = train('whole', **options).model
    for image_id in ids:
        spoil(data, image_id)
    first = train('first', **options).model
    for image_id in ids:
        spoil(data, image_id, b'<html>404</html>')
    monkeypatch.setattr(module, 'MEAN_COLOUR', (255, 0, 255))
    assert same(first, train('second', **options).model)
    assert not same(first, whole)


def test_the_labels_of_a_bad_labelled_image_are_used_nowhere(train, data, ids, monkeypatch):
    spoil(data, ids[0])
    first = train('first')
    dataset = first.train_dataloader.dataset
    row = dataset.image_ids.index(ids[0])
    assert (dataset.labels[row] == -1).all()
    known = dataset.hidden_labels[dataset.is_labelled & (np.arange(len(dataset)) != row)]
    np.testing.assert_array_equal(dataset.positive_rates(), (known == 1).mean(axis=0))

    full_init = type(dataset).full_init

    def with_other_labels(self):
        full_init(self)
        if ids[0] in self.image_ids and not hasattr(self, 'is_turned'):
            self.is_turned = True  # it is called again and again
            self.labels[self.image_ids.index(ids[0])] = 1 - self.labels[self.image_ids.index(ids[0])]

    monkeypatch.setattr(type(dataset), 'full_init', with_other_labels)
    assert same(first.model, train('second').model)


def test_a_bad_unlabelled_image_is_never_labelled(train, data, ids):
    spoil(data, ids[1])
    runner = train('run', **STRONG)
    labels, _ = bank_of(runner).lookup([ids[1]])
    assert (labels == -1).all()
    others = [name for name in bank_of(runner)._rows if name != ids[1]]
    assert (bank_of(runner).lookup(others)[0] >= 0).float().mean() > 0.5


@pytest.mark.parametrize('views', [{}, STRONG], ids=['cached features', 'strong views'])
def test_bad_images_are_listed_with_their_reason_and_warned_of_once(train, data, ids, tmp_path, monkeypatch, views):
    said = []
    monkeypatch.setattr(
        bad_image_hook, 'print_log', lambda text, logger, level: said.append(text) if level == logging.WARNING else None
    )
    paths = [spoil(data, image_id) for image_id in ids]
    train('run', **views, **{'default_hooks.bad_images.max_share': 0.1})
    lines = (tmp_path / 'run' / 'bad_images.txt').read_text().splitlines()
    assert sorted(lines) == sorted(f'{path}\tfound an empty file' for path in paths)
    assert sorted(said) == sorted(f'Bad image, not trained on: {path}: found an empty file' for path in paths)
    assert not list((tmp_path / 'run').glob('*.tmp'))


def test_the_list_of_an_earlier_run_is_dropped(train, data, ids, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'bad_images.txt').write_text('old\tbroken\n')
    train('run', **{'train_cfg.warmup_epochs': 1, 'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 1})
    assert not (tmp_path / 'run' / 'bad_images.txt').exists()


def test_above_the_share_training_stops_before_the_first_step_that_could_use_them(train, data, tmp_path):
    for path in sorted((data / 'train').iterdir())[:10]:
        path.write_bytes(b'')
    with pytest.raises(DataError) as error:
        train('run', **STRONG)
    assert '\n' not in str(error.value)
    assert str(error.value).startswith(f'{tmp_path}/run/bad_images.txt: found ')
    assert 'among 40 training images, expected at most 1 (default_hooks.bad_images.max_share=0.001)' in str(error.value)
    assert not list((tmp_path / 'run').glob('*.pth'))


@pytest.mark.parametrize(('gib', 'steps'), [(0.0, 2), (1.0, 0)])
def test_too_many_bad_unlabelled_images_stop_training_when_they_are_first_read(train, tiny_config, data, gib, steps):
    """Without a cache of features that is when they are scored, after the warm-up."""
    dataset = DATASETS.build(tiny_config().train_dataloader.dataset)
    for index in dataset.unlabelled_indices[:3]:
        spoil(data, dataset.image_ids[index])
    with pytest.raises(DataError, match='found 3 bad images among 40'):
        train('run', **STRONG, **{'default_hooks.pseudo_labels.feature_cache.gib': gib})
    states = train.last.optim_wrapper.optimizer.state.values()
    assert max((int(state['step']) for state in states), default=0) == steps


def test_an_image_that_goes_bad_during_training_is_met_by_the_loader(train, data, ids, tmp_path, monkeypatch):
    """The worker's flag is all that tells of it: the image was whole when it was scored."""
    begin_epoch = SemiSupervision.begin_epoch

    def then_spoil(self, epoch):
        report = begin_epoch(self, epoch)
        spoil(data, ids[1])
        return report

    monkeypatch.setattr(SemiSupervision, 'begin_epoch', then_spoil)
    train('run', **STRONG, **{'train_dataloader.num_workers': 1, 'train_cfg.semi_epochs': 1, 'train_cfg.val_begin': 2})
    assert (tmp_path / 'run' / 'bad_images.txt').read_text() == f'{data}/train/{ids[1]}.png\tfound an empty file\n'


def test_a_resumed_run_ends_in_bitwise_the_same_model(train, data, ids, tmp_path):
    for image_id in ids:
        spoil(data, image_id)
    options = STRONG | {'default_hooks.bad_images.max_share': 0.1, 'default_hooks.checkpoint.max_keep_ckpts': -1}
    first = train('first', **options)
    for epoch in (1, 2):
        resumed = train(f'from_{epoch}', **options, resume=True, load_from=str(tmp_path / f'first/epoch_{epoch}.pth'))
        assert same(first.model, resumed.model)
        assert len((tmp_path / f'from_{epoch}' / 'bad_images.txt').read_text().splitlines()) == 2


def test_a_bad_validation_image_is_an_error(train, data):
    path = data / 'test' / '500.png'
    path.write_bytes(b'')
    with pytest.raises(DataError, match=f'{path}: found an empty file'):
        train('run')


def test_a_share_of_zero_tolerates_none(train, data, ids):
    spoil(data, ids[0])
    with pytest.raises(DataError, match='found 1 bad images among 40 training images, expected at most 0'):
        train('run', **{'default_hooks.bad_images.max_share': 0.0})


def test_the_share_tolerates_one_image_of_a_small_set_and_none_only_when_it_is_zero():
    assert [tolerated_bad_images(n, 0.001) for n in (10, 300, 1999, 2000, 82_081)] == [1, 1, 1, 2, 82]
    assert tolerated_bad_images(300, 0) == 0
    with pytest.raises(ConfigError, match='max_share: found 1.5, expected a number from 0 and below 1$'):
        BadImageHook(max_share=1.5)


def test_a_misspelt_key_of_the_hook_is_refused(tiny_config):
    with pytest.raises(
        ConfigError, match="unknown key 'default_hooks.bad_images.max_shares'.*Did you mean 'max_share'"
    ):
        check_config(tiny_config(**{'default_hooks.bad_images.max_shares': 0.1}))


def test_the_line_on_the_labels_used_counts_images_cells_and_positives(tiny_config, data, ids):
    dataset = DATASETS.build(tiny_config().train_dataloader.dataset)
    dataset.labels[dataset.labelled_indices[0], 0] = -1
    labels = dataset.labels[dataset.labelled_indices]
    assert labels_used(dataset) == (
        f'Labels used: 16 of 40 training images are labelled (40.0%), with 95 known cells, {(labels == 1).sum()} of '
        f'them positive; 24 images are unlabelled.'
    )
    other = copy.copy(dataset)
    other.labels = dataset.labels.copy()
    other.labels[dataset.labelled_indices[1]] = -1
    assert labels_used(other).startswith('Labels used: 15 of 40 ')


def test_a_neutral_picture_has_the_size_of_the_others_where_nothing_resizes_them(train, data, ids):
    spoil(data, ids[1])
    for path in (data / 'train').iterdir():
        if path.stat().st_size:
            Image.open(path).resize((96, 64)).save(path)
    runner = train('run', **STRONG)
    assert runner.train_dataloader.dataset.bad_images.shape == (64, 96)
