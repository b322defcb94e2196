"""What training reads where features are kept. Oracle: the items of the data set, and the tower on their pixels."""

import numpy as np
import pytest
import torch
from mmcv.transforms import RandomFlip
from mmengine.dataset import Compose
from mmengine.hooks import Hook

from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.sample_key import SampleKey, generators_kept, seed_generators
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.features.kept_items import DrawnFlip, KnownOrRead, known_samples, view_of_sample, without_images
from cssa_mm.features.kept_views import strong_seed
from cssa_mm.semi import pseudo_label_hook

CPU = torch.device('cpu')
CACHE = 'default_hooks.pseudo_labels.feature_cache'
VIEW_GIB = (5 * 16 + 16) * 4 / 2**30  # tiny-rn: four positions and the global token, 16 numbers each
KEYS = [SampleKey(index, seed) for index in range(4) for seed in range(8)]


def encoded_items(model, items):
    inputs = torch.stack([item['inputs'] for item in items])
    with torch.no_grad():
        return model.backbone(model.data_preprocessor(dict(inputs=inputs))['inputs'])


def assert_close(found, expected) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# -- items ---------------------------------------------------------------------------------------------------------


def test_which_strong_view_an_image_shows_is_decided_by_its_key_alone(dataset, strong):
    strong()
    dataset.pipeline = without_images(dataset.pipeline, 3)
    dataset.img_paths = [f'{path}.gone' for path in dataset.img_paths]
    found = [view_of_sample(dataset[key]['data_samples']) for key in KEYS]
    assert [view[:2] for view in found] == [(dataset.image_ids[key.index], 'strong') for key in KEYS]
    assert {view[2] for view in found} == {0, 1, 2}
    for key, view in zip(KEYS, found, strict=True):
        assert view[2] == np.random.RandomState(key.seed).randint(3)
    assert dataset[KEYS[0]]['data_samples'].gt_score.tolist() == dataset.labels[0].tolist()


def test_images_that_are_not_kept_are_read_as_ever(dataset):
    expected = [dataset[key] for key in KEYS]
    ids = {dataset.image_ids[1], dataset.image_ids[2]}
    dataset.pipeline = Compose([KnownOrRead(ids, without_images(dataset.pipeline), dataset.pipeline)])
    for key, item, same in zip(KEYS, (dataset[key] for key in KEYS), expected, strict=True):
        assert item['data_samples'].flip == same['data_samples'].flip
        if key.index in (1, 2):
            assert item['inputs'].shape == (3, 2, 2)
        else:
            assert torch.equal(item['inputs'], same['inputs'])


@pytest.mark.parametrize('probability', [0.0, 0.3, 1.0])
def test_a_flip_is_drawn_as_the_toolbox_draws_it(probability):
    theirs, ours = RandomFlip(prob=probability, direction='horizontal'), DrawnFlip(probability)
    names = ('flip', 'flip_direction')
    with generators_kept():
        for seed in range(300):
            found = []
            for step in (theirs, ours):
                seed_generators(seed)
                results = step(dict(img=np.zeros((2, 2, 3), np.uint8)))
                found.append(([results[name] for name in names], np.random.random_sample()))
            assert found[0] == found[1]  # the number after it is the same, too


@pytest.mark.parametrize('strong_views', [0, 3])
def test_what_a_step_reads_is_that_of_the_packed_samples(dataset, strong, strong_views):
    if strong_views:
        strong()
    dataset.pipeline = without_images(dataset.pipeline, strong_views)
    dataset.bad_images = BadImages()
    dataset.bad_images.reasons[dataset.image_ids[2]] = 'truncated'
    keys = [*KEYS, *(SampleKey(index, 7) for index in dataset.unlabelled_indices[:3])]
    state = np.random.get_state()[1].copy()
    found = known_samples(dataset, keys)
    assert (np.random.get_state()[1] == state).all()
    for sample, same in zip(found, [dataset[key]['data_samples'] for key in keys], strict=True):
        assert view_of_sample(sample) == view_of_sample(same)
        assert torch.equal(sample.gt_score, same.gt_score)
        assert sample.gt_score.dtype == same.gt_score.dtype
        assert (sample.image_id, sample.is_labelled) == (same.image_id, same.is_labelled)
        assert sample.get('bad_image') == same.get('bad_image')
    assert {sample.is_labelled for sample in found} == {True, False}
    assert sum(sample.bad_image == 'truncated' for sample in found) == 8
    assert (dataset.labels[2] >= 0).any()  # the data set itself stays as it is


def test_a_data_set_with_items_of_its_own_gives_them_to_the_folds_too(dataset):
    class Doubtful(type(dataset)):
        def get_data_info(self, idx):
            info = super().get_data_info(idx)
            return info | dict(gt_score=0.5 * info['gt_score'])

    dataset.pipeline = without_images(dataset.pipeline)
    dataset.__class__ = Doubtful
    for key, sample in zip(KEYS, known_samples(dataset, KEYS), strict=True):
        assert sample.gt_score.tolist() == (0.5 * dataset.labels[key.index]).tolist()
        assert sample.flip == dataset[key]['data_samples'].flip


# -- features of a batch -------------------------------------------------------------------------------------------


def test_strong_views_are_what_the_training_pipeline_draws_by_the_seed_of_image_and_number(
    features, model, dataset, strong, encoded
):
    strong()
    drawn = [dataset[SampleKey(i, strong_seed(dataset.image_ids[i], n))] for i in (5, 30) for n in range(3)]
    frozen = features(strong_views=3)
    frozen.fill_for_training()
    assert len(frozen.cache) == 40 * 4
    assert frozen.cache.serves_training
    assert sum(encoded) == 1 + 40 * 4
    views = [(dataset.image_ids[i], 'strong', n) for i in (5, 30) for n in range(3)]
    assert_close(frozen.cache.lookup(views, CPU), encoded_items(model, drawn))
    plain = frozen.cache.lookup([(dataset.image_ids[5], False)], CPU)[0]
    different = [frozen.cache.lookup([view], CPU)[0] for view in views[:3]] + [plain]
    assert all((one - other).abs().max() > 1e-3 for i, one in enumerate(different) for other in different[:i])
    samples = [dataset[key]['data_samples'] for key in KEYS]
    found = frozen.of_batch(samples)
    expected = frozen.cache.lookup([(s.image_id, 'strong', s.strong_view) for s in samples], CPU)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize('strong_views', [0, 2])
def test_a_batch_of_kept_and_other_images_is_that_of_its_pixels(
    features, model, dataset, strong, encoded, strong_views
):
    if strong_views:
        strong()
    originals = dataset.with_pipeline(dataset.pipeline.transforms)
    # All labelled images fit, and half of the others.
    frozen = features(gib=28.5 * (1 + (strong_views or 1)) * VIEW_GIB, strong_views=strong_views)
    frozen.fill_for_training()
    labelled, others = dataset.labelled_indices, dataset.unlabelled_indices
    keys = [
        SampleKey(int(i), seed) for seed, i in enumerate([others[-1], labelled[0], others[-2], labelled[1], others[0]])
    ]
    items = [dataset[key] for key in keys]
    assert [item['inputs'].shape[1] for item in items] == [64, 2, 64, 2, 2]
    seeds = [
        key.seed
        if item['data_samples'].get('strong_view') is None
        else strong_seed(item['data_samples'].image_id, item['data_samples'].strong_view)
        for key, item in zip(keys, items, strict=True)
    ]
    expected = encoded_items(model, [originals[SampleKey(k.index, s)] for k, s in zip(keys, seeds, strict=True)])
    encoded.clear()
    samples, inputs = [item['data_samples'] for item in items], [item['inputs'] for item in items]
    assert_close(frozen.of_batch(samples, inputs), expected)
    assert encoded == [2]
    assert frozen.of_batch(samples[:1], inputs[:1]) is None  # nothing of it is kept: the model encodes it
    indices = np.array([others[-1], others[0], others[-2], labelled[3], labelled[2], others[-3]])
    frozen.loader['batch_size'] = 2
    batches = list(frozen.batches(indices, 'Some'))
    assert [len(local) for local, _ in batches] == [2, 2, 2]
    whole = [torch.cat(tensors) for tensors in zip(*batches, strict=True)]
    frozen.cache = None
    assert_close(whole, [torch.cat(tensors) for tensors in zip(*frozen.batches(indices, 'Some'), strict=True)])


# -- whole trainings -----------------------------------------------------------------------------------------------


class Losses(Hook):
    """Records the losses of each step."""

    def __init__(self) -> None:
        self.values = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.values.append({name: value.item() for name, value in outputs.items()})


@pytest.fixture
def train(tiny_config, tmp_path):
    """train(name, **overrides) -> the runner of a finished training, and its losses."""

    def run(name: str, strong: bool = False, folds: int = 0, **overrides) -> tuple[CSSARunner, list]:
        config = tiny_config(work_dir=str(tmp_path / name), **overrides)
        no_validation = dict.fromkeys(('val_cfg', 'val_dataloader', 'val_evaluator'))
        config.merge_from_dict(no_validation | {'train_cfg.semi_epochs': 1, 'default_hooks.calibration.folds': folds})
        if strong:
            config.train_dataloader.dataset.pipeline.insert(2, dict(type='Cutout', shape=32, prob=1.0))
        runner, losses = CSSARunner.from_cfg(config), Losses()
        runner.register_hook(losses)
        runner.train()
        return runner, losses.values

    return run


def test_training_that_reads_no_image_has_no_workers_and_the_same_numbers(train, monkeypatch):
    workers = {'train_dataloader.num_workers': 1, 'train_dataloader.persistent_workers': True}
    here, losses = train('here', **workers)
    assert here.train_dataloader.num_workers == 0
    monkeypatch.setattr(pseudo_label_hook, 'read_in_this_process', lambda loader: None)
    there, same = train('there', **workers)
    assert there.train_dataloader.num_workers == 1
    assert losses == same
    other = there.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in here.model.state_dict().items())


def test_where_a_part_fits_training_sees_the_same_as_where_nothing_is_kept(train):
    _, part = train('part', **{f'{CACHE}.gib': 60 * VIEW_GIB})
    _, none = train('none', **{f'{CACHE}.gib': 0.0})
    assert len(part) == len(none) > 4
    for one, other in zip(part, none, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_with_strong_views_training_runs_no_tower_and_finds_thresholds_on_folds(train, encoded):
    runner, _ = train('strong', strong=True, folds=2, **{f'{CACHE}.strong_views': 2})
    assert sum(encoded) == 1 + 40 * 3
    assert runner.model.calibration is not None
