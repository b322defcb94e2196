"""The evidence in a run. Oracle of most tests: features, labels and scores put together here, image by image."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import DATASETS
from PIL import Image
from sklearn.covariance import empirical_covariance, shrunk_covariance

from cssa_mm.datasets.view import View
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.features.view import scoring_pipeline
from cssa_mm.models.evidence import DiscriminantEvidence
from cssa_mm.semi.policies import build_policy
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook
from cssa_mm.semi.semi_supervision import SemiSupervision, Settings

CLASS_NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
EVIDENCE = {'model.evidence': dict(type='DiscriminantEvidence')}
NEIGHBOURS = {'model.neighbours': dict(type='Neighbours', k=5)}


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    """40 training and 12 test images on which each class puts a mark of its own: noise would earn no weight."""
    root = tmp_path_factory.mktemp('marks')
    rng = np.random.default_rng(2)
    marks = rng.integers(0, 256, (len(CLASS_NAMES), 2, 4, 3))
    categories = [dict(id=index + 1, name=name) for index, name in enumerate(CLASS_NAMES)]
    for part, count, first in (('train', 40, 100), ('test', 12, 500)):
        (root / part).mkdir()
        content = dict(images=[], annotations=[], categories=categories)
        for image_id in range(first, first + count):
            pixels = rng.integers(100, 156, (8, 8, 3))
            for shown in rng.choice(len(CLASS_NAMES), size=rng.integers(1, 4), replace=False).tolist():
                row, column = divmod(shown, 2)
                pixels[2 * row : 2 * row + 2, 4 * column : 4 * column + 4] = marks[shown]
                content['annotations'].append(dict(image_id=image_id, category_id=shown + 1, iscrowd=0))
            picture = Image.fromarray(pixels.astype(np.uint8)).resize((64, 64), Image.Resampling.NEAREST)
            picture.save(root / part / f'{image_id}.png')
            content['images'].append(dict(id=image_id, file_name=f'{image_id}.png'))
        (root / f'{part}.json').write_text(json.dumps(content))
    return root


@pytest.fixture
def make_config(tiny_config, data):
    """make_config(**overrides) -> the tiny config on the marked images."""
    roots = {f'{part}_dataloader.dataset.data_root': str(data) for part in ('train', 'val', 'test')}
    # Calibration trains again, and fits evidence of its own (tests/engine/test_cross_fitting.py).
    roots |= {'default_hooks.calibration.rule': 'none'}
    return lambda **overrides: tiny_config(**roots | overrides)


@pytest.fixture
def train(make_config):
    """train(**overrides) -> the runner of a finished run with the evidence."""

    def run(**overrides) -> CSSARunner:
        runner = CSSARunner.from_cfg(make_config(**EVIDENCE | overrides))
        runner.train()
        return runner

    return run


@pytest.fixture
def fits(monkeypatch) -> list[dict]:
    """What every later fit was given."""
    seen = []
    original = DiscriminantEvidence.fit

    def fit(self, read, labels, nearby=None):
        found = original(self, read, labels, nearby)
        similarity, anchor = (torch.cat(parts) for parts in zip(*(found for _, found in read(True)), strict=True))
        seen.append(dict(similarity=similarity, anchor=anchor, labels=labels))
        return found

    monkeypatch.setattr(DiscriminantEvidence, 'fit', fit)
    return seen


def state(path, without: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, but those whose name starts with one of `without`."""
    weights = torch.load(path, weights_only=True)['state_dict']
    return {name: value for name, value in weights.items() if not name.startswith(without)}


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


def predictions(model, dataset, key: str) -> torch.Tensor:
    data = [dataset[index] for index in range(len(dataset))]
    inputs = model.data_preprocessor(dict(inputs=torch.stack([item['inputs'] for item in data])))['inputs']
    model.eval()
    return torch.stack([sample.get(key) for sample in model.predict(inputs)])


@pytest.mark.smoke
def test_a_checkpoint_tested_again_gives_the_figures_of_the_last_validation(train, make_config, tmp_path):
    runner = train(**NEIGHBOURS)
    validated = [
        json.loads(line) for line in next((tmp_path / 'run').glob('*/vis_data/scalars.json')).read_text().splitlines()
    ]
    expected = {key: value for key, value in validated[-1].items() if key.startswith(('ema/', 'student/'))}
    path = tmp_path / 'run' / 'epoch_3.pth'
    tested = CSSARunner.from_cfg(
        make_config(**EVIDENCE | NEIGHBOURS, load_from=str(path), work_dir=str(tmp_path / 'test'))
    )
    found = tested.test()
    assert {key: found[key] for key in expected} == expected
    assert tested.model.evidence.is_fitted
    tested.model.evidence = None  # it decides the figures
    assert tested.test()['ema/mAP'] != expected['ema/mAP']
    assert (runner.model.evidence.weights > 0).all()


@pytest.mark.parametrize('epoch', [1, 2])
def test_a_resumed_run_ends_in_bitwise_the_same_model(train, tmp_path, epoch):
    """The first boundary lies between warm-up and semi-supervision, the second inside of the latter."""
    train(**NEIGHBOURS, **{'default_hooks.checkpoint.max_keep_ckpts': -1})
    (tmp_path / 'again').mkdir()
    path = shutil.copy(tmp_path / 'run' / f'epoch_{epoch}.pth', tmp_path / 'again')
    train(**NEIGHBOURS, load_from=path, resume=True, work_dir=str(tmp_path / 'again'))
    found = state(tmp_path / 'again' / 'epoch_3.pth')
    assert_same(found, state(tmp_path / 'run' / 'epoch_3.pth'))
    assert len(found['neighbours.keys']) == 40


def test_the_same_seed_gives_bitwise_the_same_model(train, tmp_path):
    train()
    train(work_dir=str(tmp_path / 'again'))
    assert_same(state(tmp_path / 'again' / 'epoch_3.pth'), state(tmp_path / 'run' / 'epoch_3.pth'))


def test_warm_up_learns_what_it_learns_without_evidence(train, make_config, tmp_path):
    """The evidence reads prompts and changes none, before pseudo-labels come from it; nor does it draw."""
    train(**{'train_cfg.warmup_epochs': 2, 'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 1})
    plain = {'train_cfg.warmup_epochs': 2, 'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 1}
    CSSARunner.from_cfg(make_config(**plain, work_dir=str(tmp_path / 'plain'))).train()
    description = ('_extra_state',)  # tells of the evidence
    found = state(tmp_path / 'run' / 'epoch_2.pth', without=('evidence.', *description))
    assert_same(found, state(tmp_path / 'plain' / 'epoch_2.pth', without=description))


def test_a_run_without_evidence_fits_nothing(make_config, fits, tmp_path):
    config = make_config()
    assert config.model.get('evidence') is None
    CSSARunner.from_cfg(config).train()
    assert fits == []
    assert not any(name.startswith('evidence') for name in state(tmp_path / 'run' / 'epoch_3.pth'))


def test_the_teacher_scores_by_the_evidence_and_the_student_as_ever(train):
    runner = train()
    model, dataset = runner.model, runner.val_dataloader.dataset
    found = {key: predictions(model, dataset, key) for key in ('pred_score', 'student_score')}
    evidence = model.evidence
    model.evidence = None
    expected = {key: predictions(model, dataset, key) for key in found}
    model.evidence = evidence
    assert torch.equal(found['student_score'], expected['student_score'])
    assert (found['pred_score'] - expected['pred_score']).abs().max() > 1e-2


def test_pseudo_labels_are_those_of_the_evidence(train, monkeypatch):
    """Oracle: the sigmoid of the logits of the last fit, put together from its buffers in float64."""
    scores, buffers, readings = [], [], []
    original = SemiSupervision.score_share

    def score(self, indices):
        result = original(self, indices)
        scores.append(result)
        model = self.model
        buffers.append({name: value.double().clone() for name, value in model.evidence.named_buffers()})
        with torch.no_grad():
            data = self.dataset.with_pipeline(scoring_pipeline(self.features.view), indices)
            images = torch.stack([data[i]['inputs'] for i in range(len(data))])
            features = model.backbone(model.data_preprocessor(dict(inputs=images))['inputs'])
            found, *similarities = model.readings(*features)
            readings.append([value.double() for value in (found.whole(), *similarities)])
        return result

    monkeypatch.setattr(SemiSupervision, 'score_share', score)
    train()
    assert len(scores) == 2
    for found, b, (features, similarity, anchor) in zip(scores, buffers, readings, strict=True):
        tuned = (similarity - b['similarity_mean']) / b['similarity_scale']
        anchored = (anchor - b['anchor_mean']) / b['anchor_scale']
        base = (b['weights'][0] * anchored + b['weights'][1] * tuned) / b['scale']
        reading = (features * b['direction']).sum(-1) - b['offset']
        expected = torch.sigmoid(base + b['weights'][2] * reading + b['bias'])
        torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)


def test_it_is_fitted_where_somebody_reads_the_scores_and_nowhere_else(train, fits):
    """Three epochs of warm-up, of which the second is validated, and two of semi-supervision."""
    schedule = {'train_cfg.warmup_epochs': 3, 'train_cfg.semi_epochs': 2, 'default_hooks.checkpoint.interval': 5}
    runner = train(**schedule, **{'train_cfg.val_begin': 2, 'train_cfg.val_interval': 2})
    # After the epochs 2 (validated), 3 (pseudo-labels follow), 4 (both) and 5 (the end).
    assert len(fits) == 4
    assert len({float(fit['similarity'].double().sum()) for fit in fits}) == 4
    for fit in fits[1:]:
        torch.testing.assert_close(fit['anchor'], fits[0]['anchor'])
    dataset = runner.train_dataloader.dataset
    expected = [
        dataset.labels[index] for part in (True, False) for index in np.flatnonzero(dataset.is_labelled == part)
    ]
    assert np.array_equal(fits[0]['labels'], expected)
    assert (fits[0]['labels'][16:] == -1).all()


def test_without_warm_up_the_first_fit_is_to_what_clip_knows(train, fits):
    train(**{'train_cfg.warmup_epochs': 0, 'train_cfg.semi_epochs': 1, 'train_cfg.val_begin': 1})
    torch.testing.assert_close(fits[0]['similarity'], fits[0]['anchor'])
    assert len(fits) == 2  # for the pseudo-labels, and at the end


def test_every_checkpoint_of_an_epoch_holds_a_fit_of_its_own_epoch(train, fits):
    schedule = {'train_cfg.warmup_epochs': 4, 'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 4}
    train(**schedule, **{'default_hooks.checkpoint.interval': 2})
    assert len(fits) == 2  # after the epochs 2 and 4


def test_every_checkpoint_of_a_step_holds_a_fit_to_the_teacher_of_that_step(train, make_config, fits, tmp_path):
    """Oracle: a fit to the teacher that lies in the same checkpoint."""
    checkpoint = {'default_hooks.checkpoint.by_epoch': False, 'default_hooks.checkpoint.interval': 3}
    schedule = {'train_cfg.warmup_epochs': 4, 'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 4}
    train(**checkpoint, **schedule, **{'default_hooks.checkpoint.max_keep_ckpts': -1})
    paths = [tmp_path / 'run' / f'iter_{step}.pth' for step in (3, 6, 8)]
    assert sorted((tmp_path / 'run').glob('*.pth')) == paths
    assert len(fits) == 3
    for path in paths:
        config = make_config(**EVIDENCE, load_from=str(path), work_dir=str(tmp_path / 'again'))
        loaded = CSSARunner.from_cfg(config)
        loaded.load_or_resume()
        found = {name: value.clone() for name, value in loaded.model.evidence.named_buffers()}
        hook = next(hook for hook in loaded.hooks if isinstance(hook, PseudoLabelHook))
        dataset = DATASETS.build(config.train_dataloader.dataset)
        hook.algorithm(loaded.model, dataset, config).refresh()
        for name, value in loaded.model.evidence.named_buffers():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
    weights = [state(path)['evidence.similarity_mean'] for path in paths]
    assert not torch.equal(weights[0], weights[1])


def test_a_best_checkpoint_holds_the_fit_of_its_validation(train, fits, tmp_path):
    best = {'default_hooks.checkpoint.save_best': 'ema/mAP', 'default_hooks.checkpoint.interval': 100}
    train(**best, **{'train_cfg.val_begin': 1})
    (path,) = (tmp_path / 'run').glob('best_*.pth')
    assert state(path)['evidence.is_fitted']


def test_the_last_fit_is_in_step_with_the_teacher_of_the_checkpoint(train, make_config, fits, tmp_path):
    train()
    path = tmp_path / 'run' / 'epoch_3.pth'
    loaded = CSSARunner.from_cfg(make_config(**EVIDENCE, load_from=str(path), work_dir=str(tmp_path / 'test')))
    loaded.test()
    model = loaded.model
    dataset = DATASETS.build(make_config().train_dataloader.dataset)
    dataset = dataset.with_pipeline(loaded.test_dataloader.dataset.pipeline.transforms, dataset.unlabelled_indices)
    means = predictions(model, dataset, 'pred_score').mean(0)
    rates = DATASETS.build(make_config().train_dataloader.dataset)
    positives = (rates.labels[rates.is_labelled] == 1).sum(0)
    np.testing.assert_allclose(means, (positives + 0.5) / 17, atol=2e-4)


def test_a_seed_draws_the_images_that_are_read(train, fits, tmp_path):
    drawn = {}
    for name, options in dict(all={}, few=dict(images=5), again=dict(images=5), other=dict(images=5, seed=1)).items():
        fits.clear()
        schedule = {'train_cfg.warmup_epochs': 1, 'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 1}
        schedule |= {f'default_hooks.pseudo_labels.evidence_{key}': value for key, value in options.items()}
        train(**schedule, work_dir=str(tmp_path / name))
        drawn[name] = fits[0]
    assert len(drawn['all']['labels']) == 40
    assert [len(drawn[name]['labels']) for name in ('few', 'again', 'other')] == [10, 10, 10]
    assert (drawn['few']['labels'][:5] >= 0).all()
    assert (drawn['few']['labels'][5:] == -1).all()
    everything = drawn['all']['anchor']
    rows = {
        name: [int((everything - row).abs().sum(1).argmin()) for row in drawn[name]['anchor']]
        for name in ('few', 'again', 'other')
    }
    assert rows['few'] == rows['again'] != rows['other']
    assert len(set(rows['few'])) == 10
    for labels, row in zip(drawn['few']['labels'], rows['few'], strict=True):
        assert torch.equal(labels, drawn['all']['labels'][row])


def test_a_bad_image_is_no_evidence(train, fits, data, tmp_path):
    """Oracle: as many images less are read."""
    data = shutil.copytree(data, tmp_path / 'data')
    for name in ('103', '104', '120', '121'):  # labelled and unlabelled ones
        (data / 'train' / f'{name}.png').write_bytes(b'')
    options = {'default_hooks.bad_images.max_share': 0.2, 'train_dataloader.dataset.data_root': str(data)}
    train(**options, **{'default_hooks.pseudo_labels.batch_size': 16})  # several batches
    assert [len(fit['labels']) for fit in fits] == [36, 36, 36]


# -- neighbours ---------------------------------------------------------------------------------------------------


@pytest.fixture
def make_algorithm(make_model, dataset):
    """make_algorithm(neighbours=dict(k=5), ...) -> the algorithm on a model with these parts and the toy data."""

    def make(data=dataset, **parts) -> SemiSupervision:
        model = make_model(**parts).train()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for value in model.teacher.buffers():
                if value.is_floating_point():
                    value.add_(0.3 * torch.randn(value.shape, generator=generator))
        features = FrozenFeatures(model, data, View(size=None), batch_size=16)
        return SemiSupervision(model, data, features, Settings(policy=build_policy('cat')))

    return make


def of_images(algorithm: SemiSupervision, indices=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Local and global features of images of the training set, all by default."""
    indices = np.arange(len(algorithm.dataset)) if indices is None else indices
    local, pooled = zip(*algorithm.features.batches(indices, ''), strict=True)
    return torch.cat(local), torch.cat(pooled)


def order_of(dataset) -> np.ndarray:
    """Indices of the training images as evidence reads them."""
    return np.concatenate([dataset.labelled_indices, dataset.unlabelled_indices])


def test_neighbours_smooth_the_teacher_and_leave_the_student(make_algorithm):
    """Without evidence: the logits of the model, smoothed over all training images one by one."""
    algorithm = make_algorithm(neighbours=dict(k=5, weight=0.7))
    model, dataset = algorithm.model, algorithm.dataset
    local, pooled = of_images(algorithm)
    before = {who: model.logits(local, pooled, who) for who in ('ema', 'student')}
    algorithm.refresh()
    assert torch.equal(model.logits(local, pooled, 'student'), before['student'])
    assert len(model.neighbours.keys) == 40
    unit = F.normalize(pooled.double(), dim=-1).numpy()
    covariance = shrunk_covariance(empirical_covariance(unit), 0.2)
    white = (unit - unit.mean(0)) @ np.linalg.cholesky(np.linalg.inv(covariance))
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    own = before['ema'].double().numpy()
    around = np.zeros_like(own)
    for i in range(40):
        cosines = white @ white[i]
        cosines[cosines > 0.999] = -2
        ranked = np.argsort(-cosines)[:6]
        excess = cosines[ranked[:5]] - cosines[ranked[5]]
        around[i] = 0.7 * (excess / excess.sum()) @ (own - own.mean(0))[ranked[:5]]
    expected = own.mean(0) + (own - own.mean(0) + around) * own.std(0) / (own + around).std(0)
    found = model.logits(local, pooled)
    np.testing.assert_allclose(found, expected, atol=0.03 * own.std(0).max())
    assert np.abs(expected - own).max() > 0.3 * own.std(0).max()
    unlabelled = dataset.unlabelled_indices
    torch.testing.assert_close(algorithm.score(unlabelled), torch.sigmoid(found)[unlabelled], rtol=0, atol=1e-4)


def test_pseudo_labels_are_those_of_the_smoothed_scores(make_algorithm):
    algorithm = make_algorithm(neighbours=dict(k=5))
    report = algorithm.begin_epoch(0)
    local, pooled = of_images(algorithm, algorithm.dataset.unlabelled_indices)
    np.testing.assert_allclose(report.scores, algorithm.model.score(local, pooled), atol=1e-5)
    plain = torch.sigmoid(algorithm.model.alignment_of(local, pooled).logits)
    assert np.abs(report.scores - plain.numpy()).max() > 1e-3


@pytest.mark.parametrize('evidence', [None, dict()])
def test_neighbours_follow_the_teacher_and_their_images_stay(make_algorithm, evidence):
    algorithm = make_algorithm(evidence=evidence, neighbours=dict(max_images=12))
    neighbours = algorithm.model.neighbours
    algorithm.refresh()
    keys, values = neighbours.keys, neighbours.values
    assert len(keys) == 12
    algorithm.refresh()
    assert neighbours.values is values  # the teacher has not moved
    with torch.no_grad():
        for parameter in algorithm.model.head.parameters():
            parameter += 1
    algorithm.after_step()
    algorithm.refresh()
    assert torch.equal(neighbours.keys, keys)
    assert torch.equal(neighbours.values[:, 0], values[:, 0]) is (evidence is not None)  # the anchor's stay


def test_what_is_stored_of_a_model_with_evidence_are_anchor_and_evidence(make_algorithm):
    algorithm = make_algorithm(evidence=dict(), neighbours=dict(k=5))
    algorithm.refresh()
    model, dataset = algorithm.model, algorithm.dataset
    local, pooled = of_images(algorithm, order_of(dataset))
    anchor, _, evidence = model.evidence.components(*model.readings(local, pooled))
    values = model.neighbours.values.float()
    torch.testing.assert_close(values[:, 0], anchor, rtol=2e-3, atol=2e-3)
    is_positive = torch.as_tensor(dataset.labels[order_of(dataset)] == 1)
    torch.testing.assert_close(values[:, 1][~is_positive], evidence[~is_positive], rtol=2e-3, atol=2e-3)
    assert (values[:, 1] < evidence - 0.01)[is_positive].float().mean() > 0.9  # left out of its own mean
    # The readings that were returned are those of the model.
    found = algorithm.state.readings.components
    assert torch.equal(found[1], model.components(local, pooled)[1])
    torch.testing.assert_close(found[:, 16:], model.components(local[16:], pooled[16:]), rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize('evidence', [None, dict()])
def test_labels_that_a_fold_hides_reach_nothing_of_it(make_algorithm, dataset, evidence):
    """Oracle: the same fold of labels that were nonsense before they were hidden."""
    held_out = dataset.labelled_indices[::3]
    fold = copy.copy(dataset)
    fold.labels, fold.is_labelled = dataset.labels.copy(), dataset.is_labelled.copy()
    fold.labels[held_out] = -1
    fold.is_labelled[held_out] = False
    states = []
    for is_nonsense in (False, True):
        whole = copy.copy(dataset)
        whole.labels = dataset.labels.copy()
        if is_nonsense:
            whole.labels[held_out] = 1 - whole.labels[held_out]
        algorithm = make_algorithm(whole, evidence=evidence, neighbours=dict(k=5))
        algorithm.refresh()
        mine = algorithm.images.labels
        images = algorithm.images.with_labels(fold)
        readings = images.fit(algorithm.model)
        assert torch.equal(algorithm.images.labels, mine)
        assert np.array_equal(images.labels, fold.labels[order_of(dataset)])
        parts = [part for part in (algorithm.model.evidence, algorithm.model.neighbours) if part is not None]
        states.append({str(type(part)) + name: value for part in parts for name, value in part.state_dict().items()})
        states[-1] |= {} if readings is None else readings._asdict()
    assert_same(*states)


def test_weights_are_fitted_to_the_readings_of_the_images_that_were_held_out(make_algorithm, monkeypatch):
    """In whatever order they come; other labelled images have no reading that did not see their labels."""
    algorithm = make_algorithm(evidence=dict(), neighbours=dict(k=5))
    algorithm.refresh()
    given = []
    monkeypatch.setattr(DiscriminantEvidence, 'stack_held_out', lambda self, *inputs: given.append(inputs))
    labelled = algorithm.dataset.labelled_indices
    indices = labelled[[7, 2, 11, 5]]
    tuned = torch.randn(4, 6)
    algorithm.stack_held_out(indices, tuned)
    ((components, labels),) = given
    expected = algorithm.state.readings.components.clone()
    for row, index in enumerate(order_of(algorithm.dataset)):
        if index in indices:
            expected[1, row] = tuned[indices.tolist().index(index)]
            assert np.array_equal(labels[row], algorithm.dataset.labels[index])
        else:
            assert (labels[row] == -1).all()
    assert torch.equal(components, expected)


@pytest.mark.cli
@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() == 1, reason='two processes cannot share a GPU')
def test_two_processes_give_the_evidence_of_one(make_config, in_two_ranks, tmp_path):
    config = make_config(**EVIDENCE | NEIGHBOURS)
    CSSARunner.from_cfg(config).train()
    config.work_dir = str(tmp_path / 'two')
    config.dump(tmp_path / 'config.py')
    done = in_two_ranks('tools/train.py', tmp_path / 'config.py', '--launcher', 'pytorch')
    assert [each.returncode for each in done] == [0, 0], done[0].stderr[-3000:]
    expected = state(tmp_path / 'run' / 'epoch_3.pth')
    assert (expected['evidence.weights'] > 0).all()
    for name, value in state(tmp_path / 'two' / 'epoch_3.pth').items():
        tolerance = 1e-4 * float(expected[name].double().abs().max())
        torch.testing.assert_close(value, expected[name], rtol=0, atol=tolerance, msg=name)
