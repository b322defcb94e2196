"""Schedules and resumed runs, as the toolbox's users write them."""

import math

import pytest
import torch
from mmengine.config import Config
from mmengine.config import config as texts
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from cssa_mm.engine import CSSARunner
from cssa_mm.errors import CSSAError

# Two warm-up epochs of 2 steps, and three later ones of 4.
EPOCHS = {'train_cfg.warmup_epochs': 2, 'train_cfg.semi_epochs': 3, 'default_hooks.calibration.rule': 'none'}
BLIND = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}
STEPS = dict(by_epoch=False)
RESTARTS = dict(type='CosineRestartLR', restart_weights=[1, 0.5], eta_min=0)
# Each schedule in epochs, and the same in steps.
PAIRS = [
    (dict(type='ConstantLR', end=3), dict(end=8)),
    (dict(type='CosineAnnealingLR', begin=2, eta_min_ratio=0.01), dict(begin=4)),
    (dict(type='CosineAnnealingWeightDecay', T_max=4), dict(T_max=12)),
    (dict(RESTARTS, periods=[2, 3]), dict(periods=[4, 12])),
    (dict(type='LinearLR', end=3), dict(end=8)),
    (dict(type='LinearMomentum', end=3), dict(end=8)),
    (dict(type='MultiStepLR', milestones=[1, 3]), dict(milestones=[2, 8])),
    (dict(type='OneCycleLR', eta_max=0.4), dict()),
    (dict(type='PolyLR', power=2), dict()),
    (dict(type='StepLR', step_size=2), dict(type='MultiStepLR', step_size=None, milestones=[4, 12])),
]
AREA, RESUME = 'Schedules and steps', 'Warm start and resume'


@pytest.fixture(scope='module')
def known():
    return {}


@pytest.fixture
def values(known, tiny_config, monkeypatch):
    """values(schedule) -> rate, momentum and weight decay of each step of a training with both phases."""
    monkeypatch.setattr(texts, 'FormatCode', lambda text, **_: (text, True), raising=False)  # takes seconds
    if 'runner' not in known:
        known['runner'] = CSSARunner.from_cfg(tiny_config(**EPOCHS, **BLIND))
    runner = known['runner']

    def follow(schedule):
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9, weight_decay=0.04)
        runner.optim_wrapper = OptimWrapper(optimiser)
        built, found = runner.build_param_scheduler(schedule), []
        sampler = runner.train_loop.dataloader.batch_sampler.sampler
        for epoch in range(runner.max_epochs):
            for _ in range(sampler.num_batches(epoch)):
                found.append([optimiser.param_groups[0][name] for name in ('lr', 'momentum', 'weight_decay')])
                optimiser.step()
                for one in built:
                    if not one.by_epoch:
                        one.step()
            for one in built:
                if one.by_epoch:
                    one.step()
        return found

    return follow


@pytest.mark.toolbox(
    AREA,
    '`convert_to_iter_based=True` (each schedule of mmengine and mmpretrain for rate, momentum, weight decay)',
    'works',
    'with the true steps of each epoch: those of the warm-up are shorter',
)
@pytest.mark.parametrize(('in_epochs', 'in_steps'), PAIRS, ids=lambda pair: pair.get('type', ''))
def test_a_converted_schedule_is_the_one_in_true_steps(values, in_epochs, in_steps):
    given = {key: value for key, value in (in_epochs | STEPS | in_steps).items() if value is not None}
    found = values(dict(in_epochs, convert_to_iter_based=True))
    assert found == values(given)
    assert found != values([])


@pytest.mark.toolbox(
    AREA, '`ExponentialLR` with `convert_to_iter_based=True`', 'works',
    '`gamma` is the factor of an epoch, spread over its steps (mmengine takes it at every step)',
)  # fmt: skip
def test_gamma_is_that_of_an_epoch(values):
    rates = [value[0] for value in values(dict(type='ExponentialLR', gamma=0.5, convert_to_iter_based=True))]
    expected = [0.1, 0.1 / 2**0.5, 0.05, 0.025, 0.0125, 0.00625]
    assert [rates[step] for step in (0, 1, 2, 4, 8, 12)] == pytest.approx(expected)


@pytest.mark.toolbox(
    AREA, '`by_epoch=True` (the default), `by_epoch=False`', 'works',
    'epochs of both phases; steps of the optimiser; without `end` to the last one',
)  # fmt: skip
def test_epochs_and_steps(values):
    by_epoch = [value[0] for value in values(dict(type='CosineAnnealingLR'))]
    of_epoch = [0.1 * (1 + math.cos(math.pi * epoch / 5)) / 2 for epoch in range(5)]
    assert by_epoch == pytest.approx(
        [of_epoch[epoch] for epoch, steps in enumerate((2, 2, 4, 4, 4)) for _ in range(steps)]
    )
    by_step = [value[0] for value in values(dict(type='CosineAnnealingLR', by_epoch=False))]
    assert by_step == pytest.approx([0.1 * (1 + math.cos(math.pi * step / 16)) / 2 for step in range(16)])


@pytest.mark.toolbox(
    AREA, "`param_scheduler` of `_base_ = 'mmpretrain::_base_/schedules/...'`", 'works',
    'as in mmpretrain; an `end` after the training, or a `begin`, is told in a line',
)  # fmt: skip
def test_a_schedule_of_mmpretrain(values):
    base = Config.fromstring("_base_ = ['mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py']", '.py')
    warm_up, cosine = base.param_scheduler
    rates = [value[0] for value in values([dict(warm_up, end=2), dict(cosine, begin=2)])]
    assert rates[:4] == pytest.approx([1e-4, 0.1 * (0.001 + 0.999 / 3), 0.1 * (0.001 + 0.999 * 2 / 3), 0.1])
    assert rates[4:8] == pytest.approx([0.1] * 4)


@pytest.mark.toolbox(
    AREA, '`ReduceOnPlateauLR`', 'works',
    'after each validation; without `rule` it knows which metrics are better when greater (mmengine takes `less`)',
)  # fmt: skip
def test_a_plateau(values, known):
    values([])
    (schedule,) = known['runner'].build_param_scheduler(dict(type='ReduceOnPlateauLR', monitor='ema/mAP', patience=0))
    rates = []
    for accuracy in (50.0, 60.0, 55.0):
        schedule.step({'ema/mAP': accuracy})
        rates.append(schedule.optimizer.param_groups[0]['lr'])
    assert rates == pytest.approx([0.1, 0.1, 0.01])


def row(schedule, feature, note, line):
    return pytest.param(schedule, line, id=feature, marks=pytest.mark.toolbox(AREA, feature, 'refused', note))


@pytest.mark.parametrize(
    ('schedule', 'line'),
    [
        row(
            dict(type='ReduceOnPlateauLR', monitor='ema/mAP', convert_to_iter_based=True),
            '`ReduceOnPlateauLR` by steps or converted', 'it acts after validations',
            'param_scheduler: found ReduceOnPlateauLR by steps, expected by_epoch=True',
        ),
        row(
            dict(type='LinearLR', by_epoch=False, convert_to_iter_based=True),
            '`by_epoch=False` with `convert_to_iter_based=True`', 'it counts steps already',
            'param_scheduler: found convert_to_iter_based=True with by_epoch=False',
        ),
        row(
            dict(one=dict(type='LinearLR'), two=dict(type='LinearLR')),
            '`param_scheduler` as a dict of several optimisers', 'one optimiser trains the model',
            "param_scheduler: found a dict without 'type' (one, two)",
        ),
    ],
)  # fmt: skip
def test_a_schedule_that_cannot_be(values, schedule, line):
    with pytest.raises(CSSAError) as found:
        values(schedule)
    assert str(found.value).startswith(line)
    assert '\n' not in str(found.value)


class Recorder(Hook):
    """Writes down the rate of each step."""

    priority = 'VERY_HIGH'

    def __init__(self):
        self.rates = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates.append(runner.optim_wrapper.optimizer.param_groups[0]['lr'])


@pytest.fixture
def train(tiny_config, monkeypatch):
    """train(folder, **overrides) -> runner, rates and log of a training of one warm-up epoch and two later ones."""
    monkeypatch.setattr(texts, 'FormatCode', lambda text, **_: (text, True), raising=False)  # takes seconds

    def run(folder, **overrides):
        options = {'default_hooks.calibration.rule': 'none', 'default_hooks.checkpoint.max_keep_ckpts': -1}
        runner = CSSARunner.from_cfg(tiny_config(**options | dict(work_dir=str(folder)) | overrides))
        recorder = Recorder()
        runner.register_hook(recorder)
        runner.train()
        return runner, recorder.rates, next(folder.glob('*/*.log')).read_text()

    return run


@pytest.fixture
def start(known, train, tmp_path_factory):
    if 'start' not in known:
        known['start'] = tmp_path_factory.mktemp('start')
        known['rates'] = train(known['start'])[1]
    return known['start']


def cosine(steps, rate=0.02):
    return [rate * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2) for step in range(steps)]


def resumed(feature, note, *given, verdict='works'):
    return pytest.param(*given, id=feature, marks=pytest.mark.toolbox(RESUME, feature, verdict, note))


@pytest.mark.parametrize(
    ('changes', 'rates', 'told'),
    [
        resumed('`--resume` with the same config', 'goes on bitwise', {}, cosine(10)[6:], ''),
        resumed(
            '`--resume` with another rate', 'followed from here on; one line names each setting that changed',
            {'optim_wrapper.optimizer.lr': 1e-6}, cosine(10, 2e-5)[6:], 'optim_wrapper.optimizer.lr 0.001 -> 1e-06',
        ),
        resumed(
            '`--resume` with more epochs', 'the schedule is that of the new length, told in a line',
            {'train_cfg.semi_epochs': 3}, cosine(14)[6:], 'train_cfg.semi_epochs 2 -> 3',
        ),
        resumed(
            '`--resume` with another batch size', 'epochs are kept, steps counted anew, told in a line',
            {'train_dataloader.batch_size': 5}, cosine(20)[12:], 'steps of the 2 epochs 6 -> 12',
        ),
    ],
)  # fmt: skip
def test_a_resumed_run_follows_its_config(train, start, tmp_path, changes, rates, told):
    _, found, log = train(tmp_path, resume=True, load_from=str(start / 'epoch_2.pth'), **changes, **BLIND)
    assert found == pytest.approx(rates, rel=1e-6)
    assert told in log
    assert ('Resumed after epoch 2' in log) == bool(changes)


@pytest.mark.toolbox(
    RESUME, '`--resume` of a finished run', 'works',
    '"nothing to train", then the validation that it would have ended with',
)  # fmt: skip
def test_a_finished_run_is_validated(train, start, tmp_path):
    runner, rates, log = train(tmp_path, resume=True, load_from=str(start / 'epoch_3.pth'))
    assert rates == []
    assert 'The run is finished: epoch 3 of 3 is done; nothing to train' in log
    assert 'ema/mAP' in str(runner.message_hub.log_scalars.keys())


@pytest.mark.parametrize(
    ('changes', 'line'),
    [
        resumed(
            '`--resume` with fewer epochs than are done', 'the line says what to set',
            {'train_cfg.semi_epochs': 1}, 'train_cfg: found 2 epochs, expected at least the 3', verdict='refused',
        ),
        resumed(
            '`--resume` with another optimiser', 'its moments are others',
            {'optim_wrapper.optimizer.type': 'SGD'}, 'optim_wrapper.optimizer.type: found SGD', verdict='refused',
        ),
    ],
)  # fmt: skip
def test_what_cannot_change(train, start, tmp_path, changes, line):
    with pytest.raises(CSSAError) as found:
        train(tmp_path, resume=True, load_from=str(start / 'epoch_3.pth'), **changes, **BLIND)
    assert str(found.value).startswith(line)
    assert '\n' not in str(found.value)
