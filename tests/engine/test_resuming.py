"""A run that goes on: with the moments of its checkpoint, and the settings of its config."""

import logging
import math

import pytest
import torch
from mmengine.config import config as texts
from mmengine.hooks import Hook

from cssa_mm.engine import CSSARunner
from cssa_mm.engine.changed_settings import differences, settings_of, settings_of_checkpoint
from cssa_mm.errors import ConfigError, CSSAError

# One warm-up epoch of 2 steps, two later ones of 4; the head's bias has 20 times the rate.
RATE = 0.02
PLATEAU = dict(type='ReduceOnPlateauLR', monitor='ema/mAP', patience=0, threshold=9.0, factor=0.5)
COSINE = dict(type='CosineAnnealingLR', by_epoch=False, eta_min_ratio=0.01)
QUICK = {'default_hooks.calibration.rule': 'none', 'default_hooks.checkpoint.max_keep_ckpts': -1}
BLIND = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}


class Recorder(Hook):
    """Writes down the rates that each step is made with."""

    priority = 'VERY_HIGH'

    def __init__(self):
        self.rates, self.moments = [], None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.moments is None:
            states = runner.optim_wrapper.optimizer.state_dict()['state']
            self.moments = {index: state['exp_avg'].clone() for index, state in states.items()}
        self.rates.append(runner.optim_wrapper.optimizer.param_groups[0]['lr'])
        self.group = dict(runner.optim_wrapper.optimizer.param_groups[0])


@pytest.fixture
def run(tiny_config, monkeypatch):
    """run(folder, **overrides) -> runner, recorder and warnings of a training."""

    def train(folder, resume=None, **overrides):
        options = QUICK | dict(work_dir=str(folder), resume=resume is not None, load_from=resume and str(resume))
        told = []
        monkeypatch.setattr(texts, 'FormatCode', lambda text, **_: (text, True), raising=False)  # takes seconds
        monkeypatch.setattr(
            'cssa_mm.engine.resuming.print_log',
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


@pytest.fixture
def start(run, known, tmp_path_factory):
    """The folder of a finished run of 3 epochs and 10 steps, and what it recorded."""
    if not known:
        folder = tmp_path_factory.mktemp('start')
        runner, recorder, _ = run(folder)
        known.update(folder=folder, rates=recorder.rates, metrics=metrics(runner))
    return known


def metrics(runner):
    scalars = runner.message_hub.log_scalars
    return {key: scalars[key].current() for key in scalars if key.startswith('val/') and 'time' not in key}


def cosine(steps, rate=RATE):
    return [rate * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2) for step in range(steps)]


def test_the_rates_are_those_of_the_formula(start):
    assert start['rates'] == pytest.approx(cosine(10), rel=1e-6)


def test_an_unchanged_config_says_nothing_and_goes_on_bitwise(run, start, tmp_path):
    _, recorder, told = run(tmp_path, start['folder'] / 'epoch_2.pth')
    assert told == []
    assert recorder.rates == start['rates'][6:]
    names = (
        torch.load(tmp_path / 'epoch_3.pth')['state_dict'],
        torch.load(start['folder'] / 'epoch_3.pth')['state_dict'],
    )
    assert all(torch.equal(names[0][name], names[1][name]) for name in names[0].keys() | names[1].keys())


def test_another_rate_and_more_epochs_are_followed_and_told(run, start, tmp_path):
    """Also by the folds, which are trained from the start."""
    changes = {
        'optim_wrapper.optimizer.lr': 1e-6,
        'train_cfg.semi_epochs': 4,
        'optim_wrapper.optimizer.betas': (0.8, 0.9),
    }
    changes |= {'default_hooks.calibration.rule': 'f1', **BLIND}
    runner, recorder, told = run(tmp_path, start['folder'] / 'epoch_2.pth', **changes)
    # The first group has 20 times the rate of the config.
    assert recorder.rates == pytest.approx(cosine(18, 1e-6 * RATE / 1e-3)[6:], rel=1e-6)
    assert recorder.group['betas'] == (0.8, 0.9)
    ((level, text),) = told
    assert level == logging.WARNING
    told = 'optim_wrapper.optimizer.lr 0.001 -> 1e-06, optim_wrapper.optimizer.betas none -> [0.8, 0.9], '
    told += 'train_cfg.semi_epochs 2 -> 4'
    assert text == f'Resumed after epoch 2: {told}; the schedule is that of this config'
    stored = torch.load(start['folder'] / 'epoch_2.pth')['optimizer']['state']
    assert recorder.moments.keys() == stored.keys()
    assert all(torch.equal(stored[index]['exp_avg'], moment) for index, moment in recorder.moments.items())
    (log,) = tmp_path.glob('*/*.log')
    assert 'Calibration: the training was resumed after epoch 2 with other settings' in log.read_text()


def test_another_batch_size_keeps_the_epochs_and_counts_their_steps_anew(run, start, tmp_path):
    changes = {'train_dataloader.batch_size': 4, **BLIND}  # 4 + 12 + 12 steps
    runner, recorder, told = run(tmp_path, start['folder'] / 'epoch_2.pth', **changes)
    assert (runner.epoch, runner.iter) == (3, 28)
    assert recorder.rates == pytest.approx(cosine(28)[16:], rel=1e-6)
    assert 'train_dataloader.batch_size 8 -> 4' in told[0][1]
    assert 'steps of the 2 epochs 6 -> 16' in told[0][1]


def test_steps_that_were_skipped_stay_skipped(run, start, tmp_path):
    content = torch.load(start['folder'] / 'epoch_2.pth')
    (schedule,) = content['param_schedulers']
    schedule.update(_global_step=5, last_step=5)
    for group in (*content['optimizer']['param_groups'], content['optimizer']['base_param_settings']):
        group['lr'] = group['initial_lr'] * cosine(10, 1)[5]
    torch.save(content, tmp_path / 'skipped.pth')
    _, same, _ = run(tmp_path / 'same', tmp_path / 'skipped.pth', **BLIND)
    assert same.rates == pytest.approx(cosine(10)[5:9], rel=1e-6)
    _, longer, _ = run(tmp_path / 'longer', tmp_path / 'skipped.pth', **{'train_cfg.semi_epochs': 3, **BLIND})
    assert longer.rates == pytest.approx(cosine(14)[5:13], rel=1e-6)


def test_schedules_by_epoch_and_converted_go_on_together(run, start, tmp_path):
    schedules = [
        dict(type='LinearLR', start_factor=0.1, end=2, convert_to_iter_based=True),
        dict(type='MultiStepLR', milestones=[2], gamma=0.5),
    ]
    _, recorder, told = run(tmp_path, start['folder'] / 'epoch_1.pth', param_scheduler=schedules, **BLIND)
    warm = [RATE * (0.1 + 0.9 * step / 5) for step in range(6)]
    assert recorder.rates == pytest.approx([*warm[2:], *[RATE * 0.5] * 4], rel=1e-6)
    assert 'param_scheduler[0].type CosineAnnealingLR -> LinearLR' in told[0][1]


def test_a_plateau_keeps_what_it_has_seen(run, tmp_path):
    """A checkpoint is written before its epoch is validated: the validation is made up for."""
    options = {'param_scheduler': [PLATEAU], 'train_cfg.val_begin': 1, 'train_cfg.val_interval': 1}
    _, whole, _ = run(tmp_path / 'a', **options)
    # The first validation is the best one; with this threshold no later one is better.
    assert whole.rates == pytest.approx([RATE] * 6 + [RATE / 2] * 4)
    _, resumed, told = run(tmp_path / 'b', tmp_path / 'a' / 'epoch_2.pth', **options)
    assert resumed.rates == whole.rates[6:]
    assert told == []
    _, resumed, told = run(tmp_path / 'c', tmp_path / 'a' / 'epoch_3.pth', **options | {'train_cfg.semi_epochs': 3})
    assert resumed.rates == pytest.approx([RATE / 4] * 4)
    assert 'train_cfg.semi_epochs 2 -> 3' in told[0][1]


@pytest.mark.parametrize(
    'change',
    [
        # The best checkpoint is written again after its validation, whose metrics the schedule has seen then.
        {'train_cfg.val_interval': 1, 'default_hooks.checkpoint.save_best': 'ema/mAP'},
        # Epoch 1 is validated by the interval that holds from there on.
        {'train_cfg.val_interval': 5, 'train_cfg.dynamic_intervals': [(1, 1)]},
    ],
)
def test_a_plateau_sees_each_validation_once(run, tmp_path, change):
    options = {'param_scheduler': [PLATEAU], 'train_cfg.val_begin': 1} | change
    _, whole, _ = run(tmp_path / 'a', **options)
    assert whole.rates == pytest.approx([RATE] * 6 + [RATE / 2] * 4)
    _, resumed, told = run(tmp_path / 'b', tmp_path / 'a' / 'epoch_1.pth', **options)
    assert (resumed.rates, told) == (whole.rates[2:], [])


def test_a_checkpoint_without_schedules_goes_on_with_those_of_the_config(run, start, tmp_path):
    content = torch.load(start['folder'] / 'epoch_2.pth')
    del content['param_schedulers']
    torch.save(content, tmp_path / 'without.pth')
    _, recorder, told = run(tmp_path, tmp_path / 'without.pth', **BLIND)
    assert (recorder.rates, told) == (start['rates'][6:], [])


@pytest.mark.parametrize(('own', 'expected'), [(5, 5), (None, 1)])
def test_without_a_seed_of_the_run_the_order_is_that_of_the_sampler_or_the_checkpoint(
    run, start, tmp_path, own, expected
):
    seeds = {'randomness.seed': None, 'train_dataloader.sampler.seed': own, **BLIND}
    runner, _, _ = run(tmp_path, start['folder'] / 'epoch_3.pth', **seeds)
    assert runner.train_dataloader.batch_sampler.sampler.seed == expected


def test_a_finished_run_has_nothing_to_train_and_ends_with_its_validation(run, start, tmp_path):
    runner, recorder, told = run(tmp_path, start['folder'] / 'epoch_3.pth')
    assert told == [(logging.INFO, 'The run is finished: epoch 3 of 3 is done; nothing to train')]
    assert recorder.rates == []
    assert metrics(runner) == start['metrics'] != {}


def test_the_rate_is_scaled_once(run, start, tmp_path):
    changes = {'auto_scale_lr': dict(enable=True, base_batch_size=4), **BLIND}
    _, whole, _ = run(tmp_path / 'a', **changes)
    _, resumed, _ = run(tmp_path / 'b', tmp_path / 'a' / 'epoch_2.pth', **changes)
    assert resumed.rates == whole.rates[6:]
    assert whole.rates[0] == pytest.approx(2 * RATE)


@pytest.mark.parametrize(
    ('epoch', 'changes', 'line'),
    [
        (3, {'train_cfg.semi_epochs': 1}, 'train_cfg: found 2 epochs, expected at least the 3 that'),
        (
            2,
            {'train_cfg.warmup_epochs': 2},
            'train_cfg.warmup_epochs: found 2, but .* done 1 in its 2 epochs, expected 1;',
        ),
        (
            1,
            {'train_cfg.warmup_epochs': 0},
            'train_cfg.warmup_epochs: found 0, but .* done 1 in its 1 epochs, expected at',
        ),
        (
            2,
            {'optim_wrapper.optimizer.type': 'SGD'},
            'optim_wrapper.optimizer.type: found SGD, but .* of AdamW',
        ),
        (2, {'optim_wrapper.optimizer.amsgrad': True}, 'optim_wrapper.optimizer.amsgrad: found True, but .*of False'),
        (
            2,
            {'optim_wrapper.paramwise_cfg': None},
            r'optim_wrapper: found \d+ parameters in 1 groups, but .* in ',
        ),
    ],
)
def test_what_cannot_change_is_refused_before_the_first_step(run, start, tmp_path, epoch, changes, line):
    with pytest.raises(CSSAError, match=f'^{line}') as found:
        run(tmp_path, start['folder'] / f'epoch_{epoch}.pth', **changes, **BLIND)
    assert '\n' not in str(found.value)


def test_a_momentum_that_its_optimiser_cannot_begin_later_is_refused(run, start, tmp_path):
    content = torch.load(start['folder'] / 'epoch_2.pth')
    content['meta']['cfg'] = content['meta']['cfg'].replace('AdamW', 'RMSprop')
    torch.save(content, tmp_path / 'plain.pth')
    change = {'optim_wrapper.optimizer': dict(type='RMSprop', lr=1e-3, momentum=0.9, _delete_=True)}
    with pytest.raises(CSSAError, match='^optim_wrapper.optimizer.momentum: found 0.9, but .* moments of False'):
        run(tmp_path, tmp_path / 'plain.pth', **change, **BLIND)


def test_each_setting_that_differs_is_named_with_both_values(tiny_config):
    before = tiny_config(param_scheduler=[COSINE])
    before.optim_wrapper.clip_grad = dict(max_norm=1.0, norm_type=math.inf)
    content = dict(meta=dict(cfg=before.pretty_text))
    assert differences(settings_of_checkpoint(content), settings_of(before)) == []
    now = tiny_config(**{'train_dataloader.num_workers': 3})
    now.param_scheduler = dict(type='StepLR', step_size=3)
    now.merge_from_dict(
        {
            'train_dataloader.sampler.labelled_per_batch': 3,
            'optim_wrapper.clip_grad': dict(max_norm=2.0, norm_type=math.inf),
            'default_hooks.pseudo_labels': dict(policy=dict(name='fixed'), batch_size=7, feature_cache=dict(gib=0.0)),
        }
    )
    assert set(differences(settings_of_checkpoint(content), settings_of(now))) == {
        'param_scheduler[0].type CosineAnnealingLR -> none',
        'param_scheduler[0].by_epoch False -> none',
        'param_scheduler[0].eta_min_ratio 0.01 -> none',
        'param_scheduler.type none -> StepLR',
        'param_scheduler.step_size none -> 3',
        'train_dataloader.sampler.labelled_per_batch 2 -> 3',
        'optim_wrapper.clip_grad.max_norm 1.0 -> 2.0',
        'default_hooks.pseudo_labels.policy.name cat -> fixed',
    }
    assert settings_of_checkpoint(dict(meta=dict(cfg='import os; os.abort()\nmodel = os'))) is None


def test_a_monitored_metric_that_is_not_measured_is_refused_with_those_that_are(run, tmp_path):
    schedule = dict(PLATEAU, monitor='mAP')
    with pytest.raises(ConfigError, match="^param_scheduler.*ReduceOnPlateauLR.*'mAP', .*expected one of ema/mAP"):
        run(tmp_path, param_scheduler=[schedule], **{'train_cfg.val_begin': 1, 'train_cfg.val_interval': 1})
