"""The hook in MMEngine's loop, and what it records. The algorithm itself: test_semi_supervision.py."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import CheckpointHook
from sklearn.metrics import f1_score
from torch import nn

from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError
from cssa_mm.semi.policies import needs_labelled
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook, bare_model
from cssa_mm.semi.semi_supervision import SemiSupervision


@pytest.fixture
def runner(model, dataset, tmp_path):
    """As much of a runner as the hook needs, at its second epoch after one of warm-up."""
    return SimpleNamespace(
        epoch=1,
        cfg=dict(view=dict(type='View', size=None)),
        seed=5,
        train_loop=SimpleNamespace(warmup_epochs=1, semi_epochs=2),
        train_dataloader=SimpleNamespace(dataset=dataset),
        val_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset)),
        model=model,
        logger=logging.getLogger('test'),
        work_dir=str(tmp_path),
        hooks=[],
    )


@pytest.fixture
def started(runner):
    """started(**options) -> the hook of a run that is about to begin its epoch; the model stays as it is."""

    def start(**options) -> PseudoLabelHook:
        hook = PseudoLabelHook(**options)
        hook.semi_supervision = hook.algorithm(
            bare_model(runner), runner.train_dataloader.dataset, runner.cfg, runner.seed
        )
        return hook

    return start


def record_of(tmp_path, epoch=-1) -> dict:
    def refuse(name):
        raise ValueError(f'{name} is not JSON')

    lines = (tmp_path / 'pseudo_labels.jsonl').read_text().splitlines()
    return json.loads(lines[epoch], parse_constant=refuse)


# -- the loop ------------------------------------------------------------------------------------------------------


def test_before_training_features_are_kept_and_the_model_is_prepared(runner, model, dataset):
    model.context_head.assignment.fill_(-1)
    hook = PseudoLabelHook()
    hook.before_train(runner)
    semi = hook.semi_supervision
    assert (semi.model, semi.dataset, semi.features.view) == (model, dataset, View(size=None))
    assert semi.seed == 5
    assert semi.features.cache.serves_training
    assert bool(model.head.bias_is_calibrated)
    assert int(model.context_head.assignment.min()) == 0


@pytest.mark.parametrize('gib', [0, 1])
def test_options_of_the_feature_cache_and_the_loader_reach_the_features(runner, tmp_path, gib):
    hook = PseudoLabelHook(feature_cache=dict(gib=gib, folder=str(tmp_path / 'kept')), batch_size=7)
    hook.before_train(runner)
    features = hook.semi_supervision.features
    assert (features.options.gib, features.loader) == (gib, dict(batch_size=7, num_workers=0))
    assert (features.cache is not None) == bool(gib)
    assert (tmp_path / 'kept').exists() == bool(gib)


def test_features_that_nothing_scores_and_training_cannot_use_are_not_kept(runner, dataset):
    runner.train_loop.semi_epochs = 0
    dataset.pipeline.transforms.insert(1, nn.Identity())
    hook = PseudoLabelHook()
    hook.before_train(runner)
    assert hook.semi_supervision.features.cache is None


def test_warm_up_epochs_have_no_pseudo_labels(runner, started, tmp_path):
    runner.epoch = 0
    hook = started()
    hook.before_train_epoch(runner)
    assert hook.semi_supervision.state.bank is None
    assert not (tmp_path / 'pseudo_labels.jsonl').exists()


def test_a_loop_without_warm_up_has_pseudo_labels_from_the_first_epoch(runner, started):
    runner.epoch, runner.train_loop = 0, SimpleNamespace()
    hook = started()
    hook.before_train_epoch(runner)
    assert len(hook.semi_supervision.state.bank) == 24


def test_a_batch_gets_its_targets_and_its_features(runner, make_sample, dataset):
    hook = PseudoLabelHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    image_id = dataset.image_ids[dataset.unlabelled_indices[3]]
    samples = [make_sample(image_id, [-1] * 6, False)]
    samples[0].set_metainfo(dict(flip=True))
    batch = dict(data_samples=samples)
    hook.before_train_iter(runner, 0, batch)
    expected = hook.semi_supervision.state.bank.pseudo_labels.labels[3].float()
    assert torch.equal(batch['targets'].labels[0], expected)
    mirrored, _ = hook.semi_supervision.features.cache.lookup([(image_id, True)], torch.device('cpu'))
    assert torch.equal(batch['features'][0], mirrored)


def test_a_batch_without_known_features_gets_none(runner, started, make_sample):
    hook = started()
    batch = dict(data_samples=[make_sample('a', [1] * 6)])
    hook.before_train_iter(runner, 0, batch)
    assert batch['features'] is None
    assert batch['targets'].labels.tolist() == [[1] * 6]


def test_a_model_inside_a_distributed_wrapper_is_found(runner, model):
    from mmengine.model import MMDistributedDataParallel

    wrapper = MMDistributedDataParallel.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = model
    runner.model = wrapper
    hook = PseudoLabelHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    assert hook.semi_supervision.model is model
    assert len(hook.semi_supervision.state.bank) == 24


def test_a_validation_without_a_training_needs_no_algorithm(runner):
    PseudoLabelHook().before_val_epoch(runner)


@pytest.fixture
def fresh(runner, started, monkeypatch):
    """fresh(event, checkpoint hook or None, epoch=, step=) -> whether the evidence is fitted there."""

    def call(event: str, checkpoint: CheckpointHook | None, epoch: int = 0, step: int = 0) -> bool:
        calls = []
        monkeypatch.setattr(SemiSupervision, 'refresh', lambda self: calls.append(1))
        hook = started()
        runner.hooks = [hook] if checkpoint is None else [hook, checkpoint]
        runner.epoch, runner.iter, runner.max_epochs, runner.max_iters = epoch, step, 5, 20
        getattr(hook, event)(*(runner, 0) if event == 'after_train_iter' else (runner,))
        return bool(calls)

    return call


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(interval=2), [1, 3, 4]),  # the last epoch is always saved
        (dict(interval=2, save_last=False), [1, 3]),
        (dict(interval=2, save_begin=3), [2, 4]),
        (dict(interval=-1), [4]),
        (dict(interval=1, by_epoch=False), []),
        (None, []),
    ],
)
def test_the_evidence_is_fitted_after_the_epochs_that_are_saved(fresh, options, expected):
    checkpoint = None if options is None else CheckpointHook(**options)
    assert [epoch for epoch in range(5) if fresh('after_train_epoch', checkpoint, epoch=epoch)] == expected


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(interval=6, by_epoch=False), [5, 11, 17, 19]),
        (dict(interval=6, by_epoch=False, save_last=False), [5, 11, 17]),
        (dict(interval=6, by_epoch=False, save_begin=10), [9, 15, 19]),
        (dict(interval=1), []),
        (None, []),
    ],
)
def test_the_evidence_is_fitted_after_the_steps_that_are_saved(fresh, options, expected):
    checkpoint = None if options is None else CheckpointHook(**options)
    assert [step for step in range(20) if fresh('after_train_iter', checkpoint, step=step)] == expected


@pytest.mark.parametrize('event', ['before_val_epoch', 'after_train'])
def test_the_evidence_is_fitted_where_somebody_reads_scores(fresh, event):
    assert fresh(event, None)


# -- options -------------------------------------------------------------------------------------------------------


def test_the_policy_is_cat_where_only_its_options_are_given():
    assert not needs_labelled(PseudoLabelHook(policy=dict(eta_negative=0.5)).settings.policy)
    assert needs_labelled(PseudoLabelHook(policy=dict(name='mat')).settings.policy)


def test_every_option_reaches_the_algorithm(started):
    options = dict(
        oracle=True,
        wrong_labels=0.25,
        calibrate_bias=False,
        mask_unseen_classes=False,
        context_seed=3,
        evidence_images=9,
        evidence_seed=4,
    )
    settings = started(**options).semi_supervision.settings
    assert {name: getattr(settings, name) for name in options} == options


def test_the_seed_of_forced_errors_is_the_run_s(runner):
    """mmengine draws one where the config has none: runner.seed is what it uses."""
    hook = PseudoLabelHook()
    runner.seed = 11
    hook.before_train(runner)
    assert hook.semi_supervision.seed == 11


def test_a_share_of_wrong_labels_that_is_none_is_refused():
    with pytest.raises(ConfigError, match='default_hooks.pseudo_labels: found wrong_labels=2'):
        PseudoLabelHook(wrong_labels=2)


def test_an_unknown_policy_or_option_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'top_k'"):
        PseudoLabelHook(policy=dict(name='top_kk'))
    with pytest.raises(ConfigError, match="Did you mean 'eta_positive'"):
        PseudoLabelHook(policy=dict(eta_positiv=1.0))


def test_an_unknown_key_of_the_feature_cache_is_refused():
    with pytest.raises(ConfigError) as error:
        PseudoLabelHook(feature_cache=dict(gb=1))
    assert str(error.value) == (
        "default_hooks.pseudo_labels.feature_cache: found the unknown key 'gb', expected one of gib, folder, "
        "dtype, partial, strong_views. Did you mean 'gib'?"
    )


# -- the records ---------------------------------------------------------------------------------------------------


def test_each_epoch_is_one_line_of_strict_json_with_thresholds_counts_and_quality(
    runner, started, model, dataset, tmp_path
):
    hook = started()
    hook.before_train_epoch(runner)
    runner.epoch = 2
    model.teacher.reset(model.head)
    hook.before_train_epoch(runner)
    first, second = record_of(tmp_path, 0), record_of(tmp_path, 1)
    assert (first['epoch'], second['epoch']) == (2, 3)
    assert first['positive_thresholds'] != second['positive_thresholds']
    labels = hook.semi_supervision.state.bank.pseudo_labels.labels.numpy()
    truth = dataset.hidden_labels[dataset.unlabelled_indices]
    assert second['class_names'] == dataset.class_names
    for c in range(6):
        positive = labels[:, c] == 1
        assert second['positives'][c] == positive.sum()
        assert second['negatives'][c] == (labels[:, c] == 0).sum()
        assert second['masked'][c] == (labels[:, c] == -1).sum()
        assert second['precision'][c] == pytest.approx(truth[positive, c].mean())
        assert second['recall'][c] == pytest.approx(positive[truth[:, c] == 1].mean())


def test_a_new_run_drops_the_records_of_an_earlier_one_and_a_resumed_run_keeps_those_before_it(runner, tmp_path):
    path = tmp_path / 'pseudo_labels.jsonl'
    path.write_text(''.join(json.dumps(dict(epoch=epoch)) + '\n' for epoch in (1, 2, 3)))
    runner.epoch = 2
    PseudoLabelHook().before_train(runner)
    assert [json.loads(line)['epoch'] for line in path.read_text().splitlines()] == [1, 2]
    runner.epoch = 0
    PseudoLabelHook().before_train(runner)
    assert path.read_text() == ''


def test_the_record_of_a_class_without_thresholds_holds_null(runner, started, dataset, tmp_path):
    dataset.labels[dataset.labels[:, 2] == 1, 2] = 0
    started().before_train_epoch(runner)
    record = record_of(tmp_path)
    assert record['positive_thresholds'][2] is None
    assert record['negative_thresholds'][2] is None
    assert record['precision'][2] is None


def test_the_record_of_the_oracle_is_perfect(runner, started, tmp_path):
    started(oracle=True).before_train_epoch(runner)
    record = record_of(tmp_path)
    assert record['micro_precision'] == record['micro_recall'] == 1
    assert record['positive_thresholds'] == [None] * 6


def test_the_record_tells_of_the_labels_that_training_sees(runner, started, tmp_path):
    for share in (0.0, 0.5):
        started(wrong_labels=share).before_train_epoch(runner)
    assert record_of(tmp_path, 0)['micro_precision'] != record_of(tmp_path, 1)['micro_precision']


def test_the_record_tells_f1_labelled_positives_and_the_calibration_of_readable_images(
    runner, started, dataset, reference_scores, tmp_path
):
    dataset.bad_images = BadImages(shape=(64, 64))
    unlabelled = dataset.unlabelled_indices
    dataset.bad_images.reasons[dataset.image_ids[unlabelled[4]]] = 'truncated'
    hook = started(policy=dict(name='fixed', positive=0.5, negative=0.4))
    hook.before_train_epoch(runner)
    record = record_of(tmp_path)
    kept = np.delete(np.arange(24), 4)
    truth = dataset.hidden_labels[unlabelled][kept]
    labels = hook.semi_supervision.state.bank.pseudo_labels.labels.numpy()[kept]
    scores = reference_scores(unlabelled[kept]).numpy()
    assert record['labelled_positives'] == (dataset.labels == 1).sum(0).tolist()
    for c in range(6):
        assert record['F1'][c] == pytest.approx(f1_score(truth[:, c] == 1, labels[:, c] == 1, zero_division=0))
    assert sum(record['reliability']['count']) == 23 * 6
    where = np.minimum((scores * 10).astype(int), 9)
    gaps = [abs((scores - truth)[where == index].sum()) for index in range(10)]
    assert record['overall_calibration_error'] == pytest.approx(sum(gaps) / (23 * 6), abs=1e-5)


def test_without_truth_the_record_says_nothing_of_precision_or_calibration(runner, started, dataset, tmp_path):
    dataset.hidden_labels[dataset.unlabelled_indices] = -1
    started().before_train_epoch(runner)
    record = record_of(tmp_path)
    assert record['precision'] == record['F1'] == record['calibration_error'] == [None] * 6
    assert record['CF1'] is record['overall_calibration_error'] is None
    assert record['reliability']['count'] == [0] * 10
    assert sum(record['positives']) > 0
