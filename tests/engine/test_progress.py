"""What a checkpoint holds beside tensors: a run goes on where it was, also under a config that changed."""

import json
import logging
import math

import pytest
import torch
from mmengine.config import config as texts
from mmengine.hooks import EarlyStoppingHook, Hook

from cssa_mm.engine import CSSARunner

# One warm-up epoch of 2 steps, two later ones of 4; the head's bias has 20 times the rate.
RATE = 0.02
COSINE = dict(type='CosineAnnealingLR', by_epoch=False, eta_min_ratio=0.01)
BLIND = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}
BY_STEP = {'default_hooks.checkpoint': dict(type='CheckpointHook', by_epoch=False, interval=4, max_keep_ckpts=-1)}


class Recorder(Hook):
    """Writes down the rate that each step is made with, and the counters of early stopping after each validation."""

    priority = 'LOWEST'

    def __init__(self):
        self.rates, self.counts = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates.append(runner.optim_wrapper.optimizer.param_groups[0]['lr'])

    def after_val_epoch(self, runner, metrics=None):
        for hook in runner.hooks:
            if isinstance(hook, EarlyStoppingHook):
                self.counts.append((runner.epoch, hook.wait_count, hook.best_score))


@pytest.fixture
def run(tiny_config, monkeypatch):
    """run(folder, resume=None, **overrides) -> runner, recorder and warnings of a training."""

    def train(folder, resume=None, **overrides):
        options = {'default_hooks.calibration.rule': 'none', 'default_hooks.checkpoint.max_keep_ckpts': -1}
        options |= dict(work_dir=str(folder), resume=resume is not None, load_from=resume and str(resume))
        told = []
        monkeypatch.setattr(texts, 'FormatCode', lambda text, **_: (text, True), raising=False)  # takes seconds
        for module in ('resuming', 'progress'):
            monkeypatch.setattr(
                f'cssa_mm.engine.{module}.print_log',
                lambda text, logger=None, level=logging.INFO: told.append((level, text)),
            )
        runner, recorder = CSSARunner.from_cfg(tiny_config(**(options | overrides))), Recorder()
        runner.register_hook(recorder)
        runner.train()
        return runner, recorder, told

    return train


@pytest.fixture(scope='module')
def known():
    return {}


def cosine(steps, rate=RATE):
    return [rate * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2) for step in range(steps)]


@pytest.fixture
def within(run, known, tmp_path_factory):
    """The folder of a run with checkpoints after 4 and 8 of its 2 + 4 + 4 steps."""
    if 'within' not in known:
        known['within'] = tmp_path_factory.mktemp('within')
        run(known['within'], **BY_STEP, **BLIND)
    return known['within']


@pytest.mark.parametrize(('schedule', 'rates'), [(COSINE, cosine(10)[4:]), (None, [RATE / 2] * 6)])
def test_a_checkpoint_within_an_epoch_goes_on_there_also_with_another_schedule(run, within, tmp_path, schedule, rates):
    schedule = schedule or dict(type='MultiStepLR', milestones=[3], by_epoch=False, gamma=0.5)
    runner, recorder, told = run(tmp_path, within / 'iter_4.pth', param_scheduler=[schedule], **BLIND)
    assert recorder.rates == pytest.approx(rates, rel=1e-6)
    assert (runner.epoch, runner.iter) == (3, 10)
    if schedule['type'] == 'MultiStepLR':
        assert told[0][1].startswith('Resumed after step 2 of epoch 2: param_scheduler[0].')


@pytest.mark.parametrize(
    ('change', 'steps'),
    [
        ({'train_dataloader.batch_size': 4}, 24),
        ({'train_dataloader.sampler.labelled_per_batch': 3}, 10),
        ({'randomness.seed': 3}, 8),
        ({'train_dataloader.dataset.split.seed': 2}, 8),
    ],
)
def test_an_epoch_that_would_see_other_images_begins_again_and_says_so(run, within, tmp_path, change, steps):
    _, recorder, told = run(tmp_path, within / 'iter_4.pth', **change, **BLIND)
    assert len(recorder.rates) == steps
    assert 'the checkpoint was written within epoch 2, which begins again' in told[0][1]
    (record, *_) = (tmp_path / 'pseudo_labels.jsonl').read_text().splitlines()
    assert json.loads(record)['epoch'] == 2


def test_a_checkpoint_of_an_earlier_version_begins_its_epoch_again(run, within, tmp_path):
    content = torch.load(within / 'iter_4.pth')
    del content['progress']
    torch.save(content, tmp_path / 'earlier.pth')
    _, recorder, told = run(tmp_path, tmp_path / 'earlier.pth', **BLIND)
    assert recorder.rates == pytest.approx(cosine(10)[2:], rel=1e-6)
    line = 'Resumed after epoch 1: the checkpoint was written within epoch 2, which begins again; '
    assert told == [(logging.WARNING, f'{line}the schedule is that of this config')]


def test_an_epoch_whose_steps_are_done_ends_with_its_thresholds(run, tmp_path):
    """The checkpoint of the last step is written again when they are found: a kill between the two loses nothing."""
    calibrated = {**BY_STEP, **BLIND, 'default_hooks.calibration.rule': 'f1'}
    run(tmp_path / 'a', **calibrated)
    whole = torch.load(tmp_path / 'a' / 'iter_10.pth')
    run(tmp_path / 'b', **{**calibrated, 'default_hooks.calibration.rule': 'none'})
    bare = tmp_path / 'b' / 'iter_10.pth'
    assert (torch.load(bare)['meta']['epoch'], whole['meta']['epoch']) == (2, 3)
    _, recorder, _ = run(tmp_path / 'c', bare, **calibrated)
    resumed = torch.load(tmp_path / 'c' / 'iter_10.pth')
    assert recorder.rates == []
    assert resumed['meta']['epoch'] == 3
    assert all(torch.equal(value, resumed['state_dict'][name]) for name, value in whole['state_dict'].items())


def test_early_stopping_counts_as_if_the_run_had_not_stopped(run, tmp_path):
    stopping = dict(type='EarlyStoppingHook', monitor='ema/mAP', patience=2, min_delta=200.0, rule='greater')
    options = {'train_cfg.val_begin': 1, 'train_cfg.val_interval': 1, 'custom_hooks': [stopping]}
    _, whole, _ = run(tmp_path / 'a', **options)
    assert [count for _, count, _ in whole.counts] == [0, 1, 2]
    for epoch in (1, 2, 3):
        resumed, found, _ = run(tmp_path / f'{epoch}', tmp_path / 'a' / f'epoch_{epoch}.pth', **options)
        assert found.counts == whole.counts[epoch - 1 :]  # that of the epoch is made up for
        assert resumed.train_loop.stop_training


def test_averages_of_the_log_are_kept_as_far_as_they_reach_back(run, tmp_path):
    for window, size in ((3, 4), ('global', 10)):  # an epoch has 4 steps
        average = [dict(data_src='loss', method_name='mean', window_size=window, log_name='mean_loss')]
        runner, *_ = run(tmp_path, **BLIND, **{'log_processor.window_size': 1, 'log_processor.custom_cfg': average})
        (values, counts) = torch.load(tmp_path / 'epoch_3.pth')['progress']['log_history']['train/loss']
        whole = runner.message_hub.log_scalars['train/loss'].data[0]
        assert values.tolist() == whole[-size:].tolist()
        assert counts.tolist() == [1] * size
