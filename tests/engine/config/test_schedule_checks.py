"""What a schedule must be, and mmpretrain's own files of schedules."""

import math
from pathlib import Path

import mmpretrain
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmpretrain.registry import PARAM_SCHEDULERS

from cssa_mm.engine.calendar import Calendar
from cssa_mm.engine.config.schedule_checks import check_schedules
from cssa_mm.engine.schedules import translate
from cssa_mm.errors import ConfigError

CALENDAR = Calendar([2, 2, 4, 4, 4])
FILES = sorted(Path(mmpretrain.__file__).parent.glob('.mim/configs/_base_/schedules/*.py'))


def test_a_calendar_counts_the_steps_before_each_point():
    assert [CALENDAR.steps(epoch) for epoch in (0, 1, 2, 2.5, 4, 5, 7.5)] == [0, 2, 4, 6, 12, 16, 26]
    assert Calendar([]).steps(0) == 0
    # 0.3 of 10 steps, though 2.3 - 2 is a little less in floating point.
    assert Calendar([10] * 4).steps(2.3) == 23


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (dict(type='PolLR'), "x.type: found 'PolLR', expected the name of a schedule. Did you mean 'PolyLR'?"),
        (dict(type='LinearLR', begin=3, end=2), 'x: found begin=3 and end=2, expected begin < end'),
        (dict(type='LinearLR', end=0), 'x: found begin=0 and end=0, expected begin < end'),
        (dict(type='LinearLR', begin=-1), 'x.begin: found -1, expected a positive number'),
        (
            dict(type='LinearLR', end=math.inf, convert_to_iter_based=True),
            'x.end: found inf, expected a positive number',
        ),
        (dict(type='LinearLR', end='5'), "x.end: found '5', expected a positive number"),
        (dict(type='StepLR', step_size=0), 'x.step_size: found 0, expected a positive number'),
        (dict(type='LinearLR', end=2.5), 'x.end: found 2.5, expected a whole number of epochs; parts of an epoch need'),
        (dict(type='MultiStepLR', milestones=[1, 2.5], by_epoch=False), 'x.milestones: found 2.5, expected a whole'),
        (dict(type='LinearLR', start_factor=0), 'x.start_factor: found 0, expected more, such as 1e-6'),
        (dict(type='ConstantLR', factor=0), 'x.factor: found 0, expected more'),
        (dict(type='OneCycleLR', total_steps=3), 'x.total_steps: found 3 epochs for a schedule that acts for 5, exp'),
        (dict(type='ReduceOnPlateauLR'), "x.monitor: found 'loss', which no validation measures, expected one of its"),
        (dict(type='ReduceOnPlateauLR', monitor='a', by_epoch=False), 'x: found ReduceOnPlateauLR by steps, expected'),
        (dict(type='LinearLR', by_epoch=False, convert_to_iter_based=True), 'x: found convert_to_iter_based=True with'),
        (
            dict(type='ReduceOnPlateauLR', monitor='a', convert_to_iter_based=True),
            'x: found ReduceOnPlateauLR by steps, expected by_epoch=True without convert_to_iter_based: it acts after '
            'validations; leave both out',
        ),
    ],
)
def test_a_wrong_schedule_is_refused_in_one_line(options, line):
    with pytest.raises(ConfigError) as found:
        translate(options, CALENDAR, 'x')
    assert str(found.value).startswith(line)
    assert '\n' not in str(found.value)


@pytest.mark.parametrize('given', ['CosineAnnealingLR', 3, [dict(by_epoch=False)], [None]])
def test_what_is_no_schedule_is_refused(given):
    with pytest.raises(ConfigError, match='^param_scheduler: found param_scheduler.*expected a schedule such as'):
        check_schedules(dict(param_scheduler=given))


@pytest.mark.parametrize('given', [None, [], dict(type='LinearLR'), [dict(type='LinearLR'), dict(type='StepLR')]])
def test_one_schedule_several_or_none_are_fine(given):
    check_schedules(dict(param_scheduler=given))


def test_a_schedule_that_never_acts_or_is_cut_off_is_told():
    options, remark = translate(dict(type='PolyLR', by_epoch=False, begin=16), CALENDAR, 'x')
    assert options is None
    assert remark == 'x: found begin=16 in a training of 16 steps: this schedule never acts'
    options, remark = translate(dict(type='LinearLR', convert_to_iter_based=True, end=0.2), CALENDAR, 'x')
    assert options is None
    assert remark == 'x: found begin=0 and end=0.2, less than a step: this schedule never acts'
    _, remark = translate(dict(type='CosineAnnealingLR', T_max=9, end=9), CALENDAR, 'x')
    assert remark.startswith('x: found end=9 in a training of 5 epochs, which cuts this schedule off; without end and')
    assert translate(dict(type='CosineAnnealingLR'), CALENDAR, 'x')[1] == ''


def test_a_plateau_knows_which_metrics_are_better_when_greater():
    for metric, rule in (('ema/mAP', 'greater'), ('ema/ECE', 'less')):
        assert translate(dict(type='ReduceOnPlateauLR', monitor=metric), CALENDAR, 'x')[0]['rule'] == rule
    given = dict(type='ReduceOnPlateauLR', monitor='ema/mAP', rule='less')
    assert translate(given, CALENDAR, 'x')[0]['rule'] == 'less'


def of_formula(schedule, step, epoch, calendar):
    """The factor of a schedule of mmpretrain's files, by a closed formula; eta_min in units of the base rate."""
    by_step = schedule.get('convert_to_iter_based') or not schedule.get('by_epoch', True)
    to = calendar.steps if schedule.get('convert_to_iter_based') else (lambda value: value)
    last = calendar.total if by_step else calendar.epochs
    begin, end = to(schedule.get('begin', 0)), to(schedule['end']) if 'end' in schedule else last
    at = (step if by_step else epoch) - begin
    if at < 0:
        return None
    at = min(at, end - begin - 1)
    kind, least = schedule['type'], schedule.get('eta_min', 0)
    if kind == 'LinearLR':
        start = schedule['start_factor']
        return lambda base: base * (start + (1 - start) * at / (end - begin - 1))
    if kind == 'ConstantLR':
        return lambda base: base * (1 if at == end - begin - 1 else schedule['factor'])
    if kind == 'CosineAnnealingLR':
        span = schedule.get('T_max', end - begin)
        return lambda base: least + (base - least) * (1 + math.cos(math.pi * at / span)) / 2
    if kind == 'MultiStepLR':
        return lambda base: base * schedule['gamma'] ** sum(at >= milestone for milestone in schedule['milestones'])
    assert kind == 'StepLR'
    return lambda base: base * schedule['gamma'] ** (at // schedule['step_size'])


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_the_schedules_of_mmpretrain_mean_what_they_mean_there(path):
    config = Config.fromfile(path)
    rate, epochs = config.optim_wrapper.optimizer.lr, config.train_cfg.max_epochs
    calendar = Calendar([1] * (epochs // 3) + [2] * (epochs - epochs // 3))
    given = config.param_scheduler if isinstance(config.param_scheduler, list) else [config.param_scheduler]
    optimiser = OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate))
    translated = [translate(one, calendar, 'x')[0] for one in given]
    built = [PARAM_SCHEDULERS.build(one, default_args=dict(optimizer=optimiser)) for one in translated if one]
    found, expected, step = [], [], 0
    for epoch in range(epochs):
        for _ in range(calendar.lengths[epoch]):
            found.append(optimiser.param_groups[0]['lr'])
            value = rate
            for one in given:
                of = of_formula(one, step, epoch, calendar) if one.get('param_name', 'lr') == 'lr' else None
                value = value if of is None else of(value)
            expected.append(value)
            optimiser.optimizer.step()
            step += 1
            for schedule in built:
                if not schedule.by_epoch:
                    schedule.step()
        for schedule in built:
            if schedule.by_epoch:
                schedule.step()
    assert found == pytest.approx(expected, rel=1e-5)
    assert found[0] > 0
    assert found[-1] < max(found) or 'linearlr' in path.stem  # its first 5,000 steps are more than these
