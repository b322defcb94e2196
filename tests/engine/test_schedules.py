"""Rates of every step of a training, against plain torch schedules and closed formulas."""

import math

import pytest
import torch
from mmengine.config import config as texts
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch.optim import lr_scheduler as plain

from cssa_mm.engine import CSSARunner

LENGTHS = [2, 2, 4, 4, 4]  # two epochs over 16 labelled images, three over 24 others: 16 steps in all
ENDS = [0, 2, 4, 8, 12, 16]
RATE = 0.1


def of_steps(schedule, **options):
    return dict(type=schedule, by_epoch=False, **options)


def converted(schedule, **options):
    return dict(type=schedule, convert_to_iter_based=True, **options)


def torch_rates(*parts, unit='step'):
    """Rates of each step by torch's schedules: (function of the optimiser, begin, end) in steps or epochs."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    running, rates, count = {}, [], 0

    def move():
        for number, (make, begin, end) in enumerate(parts):
            if count == begin:
                running[number] = make(optimiser)
            elif begin < count < end:
                running[number].step()

    move()
    for length in LENGTHS:
        for _ in range(length):
            rates.append(optimiser.param_groups[0]['lr'])
            optimiser.step()
            if unit == 'step':
                count += 1
                move()
        if unit == 'epoch':
            count += 1
            move()
    return rates


def one(make, unit='step', begin=0, end=99):
    return torch_rates((make, begin, end), unit=unit)


def restarts(periods, weights, unit='step'):
    """Closed formula of cosines (eta_min 0), each from its weight."""
    pairs = zip(periods, weights, strict=True)
    values = [w * RATE * (1 + math.cos(math.pi * k / n)) / 2 for n, w in pairs for k in range(n)]
    if unit == 'step':
        return values
    return [value for value, length in zip(values, LENGTHS, strict=True) for _ in range(length)]


def gamma_of_epoch(gamma, begin=0):
    """gamma ** epochs, of which a step is its share."""
    at = [epoch + step / length for epoch, length in enumerate(LENGTHS) for step in range(length)]
    return [RATE * gamma ** max(position - begin, 0) for position in at]


def cycle(unit, total):
    return one(lambda o: plain.OneCycleLR(o, 0.4, total_steps=total, cycle_momentum=False), unit)


def cosine(span, **options):
    return lambda o: plain.CosineAnnealingLR(o, span, **options)


def linear(span):
    return lambda o: plain.LinearLR(o, 0.1, total_iters=span)


def constant(span):
    return lambda o: plain.ConstantLR(o, 0.2, span)


def drops(milestones, gamma=0.1):
    return lambda o: plain.MultiStepLR(o, milestones, gamma)


def polynomial(span):
    return lambda o: plain.PolynomialLR(o, span, 2)


def exponential(gamma):
    return lambda o: plain.ExponentialLR(o, gamma)


WARM = dict(restart_weights=[1, 0.5], eta_min=0)
CASES = {
    'constant by epoch': (dict(type='ConstantLR', factor=0.2, end=3), one(constant(2), 'epoch', end=3)),
    'constant by step': (of_steps('ConstantLR', factor=0.2, end=9), one(constant(8), end=9)),
    'constant converted': (converted('ConstantLR', factor=0.2, end=3), one(constant(7), end=8)),
    'cosine by epoch': (dict(type='CosineAnnealingLR', eta_min_ratio=0.1), one(cosine(5, eta_min=0.01), 'epoch')),
    'cosine by step': (of_steps('CosineAnnealingLR', eta_min=0.02), one(cosine(16, eta_min=0.02))),
    'cosine converted': (converted('CosineAnnealingLR'), one(cosine(16))),
    'cosine by step, T_max': (of_steps('CosineAnnealingLR', T_max=5), one(cosine(5))),
    'cosine converted, T_max': (converted('CosineAnnealingLR', T_max=3, eta_min=0.01), one(cosine(8, eta_min=0.01))),
    'cosine converted, begin': (converted('CosineAnnealingLR', begin=1, end=3), one(cosine(6), begin=2, end=8)),
    'cosine converted, part': (converted('CosineAnnealingLR', begin=2.5), one(cosine(10), begin=6)),
    'cosine converted, longer': (converted('CosineAnnealingLR', T_max=8, end=8), one(cosine(28))),
    'restarts by epoch': (dict(type='CosineRestartLR', periods=[2, 3], **WARM), restarts([2, 3], [1, 0.5], 'epoch')),
    'restarts by step': (of_steps('CosineRestartLR', periods=[6, 10], **WARM), restarts([6, 10], [1, 0.5])),
    'restarts converted': (converted('CosineRestartLR', periods=[3, 2], **WARM), restarts([8, 8], [1, 0.5])),
    'exponential by epoch': (dict(type='ExponentialLR', gamma=0.5), one(exponential(0.5), 'epoch')),
    'exponential by step': (of_steps('ExponentialLR', gamma=0.9), one(exponential(0.9))),
    'exponential converted': (converted('ExponentialLR', gamma=0.5), gamma_of_epoch(0.5)),
    'exponential converted, begin': (converted('ExponentialLR', gamma=0.5, begin=1), gamma_of_epoch(0.5, 1)),
    'linear by epoch': (dict(type='LinearLR', start_factor=0.1, end=3), one(linear(2), 'epoch', end=3)),
    'linear by step': (of_steps('LinearLR', start_factor=0.1), one(linear(15))),
    'linear converted': (converted('LinearLR', start_factor=0.1, end=3), one(linear(7), end=8)),
    'milestones by epoch': (dict(type='MultiStepLR', milestones=[2, 4]), one(drops([2, 4]), 'epoch')),
    'milestones by step': (of_steps('MultiStepLR', milestones=[3, 11]), one(drops([3, 11]))),
    'milestones converted': (converted('MultiStepLR', milestones=[1, 3, 4]), one(drops([2, 8, 12]))),
    'milestones converted, begin': (converted('MultiStepLR', begin=1, milestones=[2]), one(drops([6]), begin=2)),
    'cycle by epoch': (dict(type='OneCycleLR', eta_max=0.4), cycle('epoch', 5)),
    'cycle by step': (of_steps('OneCycleLR', eta_max=0.4), cycle('step', 16)),
    'cycle converted': (converted('OneCycleLR', eta_max=0.4), cycle('step', 16)),
    'cycle converted, longer': (converted('OneCycleLR', eta_max=0.4, total_steps=6), cycle('step', 20)),
    'polynomial by epoch': (dict(type='PolyLR', power=2), one(polynomial(4), 'epoch')),
    'polynomial by step': (of_steps('PolyLR', power=2), one(polynomial(15))),
    'polynomial converted': (converted('PolyLR', power=2, end=4), one(polynomial(11), end=12)),
    'periods by epoch': (dict(type='StepLR', step_size=2), one(lambda o: plain.StepLR(o, 2), 'epoch')),
    'periods by step': (of_steps('StepLR', step_size=5, gamma=0.5), one(lambda o: plain.StepLR(o, 5, 0.5))),
    'periods converted': (converted('StepLR', step_size=1, gamma=0.5), one(drops([2, 4, 8, 12], 0.5))),
    'periods converted, begin': (converted('StepLR', begin=1, step_size=2), one(drops([6, 14]), begin=2)),
    'warm-up, then cosine': (
        [converted('LinearLR', start_factor=0.1, end=2), converted('CosineAnnealingLR', begin=2, eta_min=0.001)],
        torch_rates((linear(3), 0, 4), (cosine(12, eta_min=0.001), 4, 99)),
    ),
    'end of None': (of_steps('CosineAnnealingLR', end=None), one(cosine(16))),
    'none': ([], [RATE] * 16),
}  # fmt: skip
# Momentum and weight decay follow the same curves: cosines of 16 steps, or with the epochs.
COSINE = [(1 + math.cos(math.pi * step / 16)) / 2 for step in range(16)]
OTHERS = {
    'momentum converted': (converted('CosineAnnealingMomentum'), 'SGD', 'momentum', [0.9 * c for c in COSINE]),
    'momentum of Adam': (converted('CosineAnnealingMomentum'), 'Adam', 'betas', [(0.9 * c, 0.999) for c in COSINE]),
    'momentum by periods': (
        converted('StepMomentum', step_size=2, gamma=0.5), 'SGD', 'momentum', [0.9] * 4 + [0.45] * 8 + [0.225] * 4,
    ),
    'weight decay': (converted('CosineAnnealingWeightDecay'), 'SGD', 'weight_decay', [0.04 * c for c in COSINE]),
    'parameter by name': (
        converted('CosineAnnealingParamScheduler', param_name='weight_decay'), 'SGD', 'weight_decay',
        [0.04 * c for c in COSINE],
    ),
    'parameter by periods': (
        converted('StepParamScheduler', param_name='weight_decay', step_size=3, gamma=0.5), 'SGD', 'weight_decay',
        [0.04] * 8 + [0.02] * 8,
    ),
}  # fmt: skip
NO_MORE = {
    'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None, 'default_hooks.checkpoint': None,
    'default_hooks.calibration.rule': 'none', 'train_cfg.warmup_epochs': 2, 'train_cfg.semi_epochs': 3,
}  # fmt: skip


class Bank(Hook):
    """Lets the schedules of all cases follow one training, each on an optimiser of its own, and writes down values."""

    priority = 'VERY_HIGH'

    def before_train(self, runner):
        self.values, self.optimisers = {}, {}
        own = runner.optim_wrapper, list(runner.param_schedulers)
        built = []
        for name, (config, *kind) in (CASES | OTHERS).items():
            options = dict(betas=(0.9, 0.999)) if kind[0] == 'Adam' else dict(momentum=0.9)
            make = torch.optim.Adam if kind[0] == 'Adam' else torch.optim.SGD
            optimiser = make([torch.nn.Parameter(torch.zeros(1))], lr=RATE, weight_decay=0.04, **options)
            runner.optim_wrapper = self.optimisers[name] = OptimWrapper(optimiser)
            built += runner.build_param_scheduler(config)
            self.values[name] = []
        runner.optim_wrapper, runner.param_schedulers = own[0], own[1] + built

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for name, optimiser in self.optimisers.items():
            self.values[name].append(dict(optimiser.param_groups[0]))


@pytest.fixture(scope='module')
def known():
    return {}


@pytest.fixture
def values(known, tiny_config, monkeypatch):
    """values[case] -> the options of its optimiser before each step of one real training."""
    if not known:
        monkeypatch.setattr(texts, 'FormatCode', lambda text, **_: (text, True), raising=False)  # takes seconds
        runner = CSSARunner.from_cfg(tiny_config(**NO_MORE))
        bank = Bank()
        runner.register_hook(bank)
        runner.train()
        assert [runner.train_dataloader.batch_sampler.sampler.num_batches(epoch) for epoch in range(5)] == LENGTHS
        known.update(bank.values)
    return known


@pytest.mark.parametrize('name', CASES)
def test_each_step_has_the_rate_of_the_plain_schedule(values, name):
    assert [value['lr'] for value in values[name]] == pytest.approx(CASES[name][1], rel=1e-6, abs=1e-12)


@pytest.mark.parametrize('name', OTHERS)
def test_other_parameters_follow_their_schedules(values, name):
    _, _, parameter, expected = OTHERS[name]
    found = [value[parameter] for value in values[name]]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-5, atol=1e-7)
