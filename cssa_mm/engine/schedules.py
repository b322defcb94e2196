"""Schedules of the config on the true steps of a training, whose epochs have two lengths.

mmengine converts a schedule (`convert_to_iter_based=True`) with the length of one epoch, which here is that of a
warm-up epoch. These functions convert it with the steps of each epoch.
"""

from __future__ import annotations

import copy
import logging
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import OptimWrapperDict, scheduler
from mmengine.runner import Runner

from cssa_mm.engine.calendar import Calendar
from cssa_mm.engine.config.schedule_checks import check_counts, check_course, class_of, is_plateau, never_ends
from cssa_mm.engine.monitored import direction
from cssa_mm.errors import ConfigError

# A period of epochs of two lengths is no number of steps: its multiples become milestones.
MILESTONES = {
    scheduler.StepLR: scheduler.MultiStepLR,
    scheduler.StepMomentum: scheduler.MultiStepMomentum,
    scheduler.StepParamScheduler: scheduler.MultiStepParamScheduler,
}
CONVERTIBLE = (
    *MILESTONES, scheduler.ConstantParamScheduler, scheduler.CosineAnnealingParamScheduler,
    scheduler.CosineRestartParamScheduler, scheduler.ExponentialParamScheduler, scheduler.LinearParamScheduler,
    scheduler.MultiStepParamScheduler, scheduler.OneCycleParamScheduler, scheduler.PolyParamScheduler,
)  # fmt: skip


def build_schedules(runner: Runner, given: Any, build: Callable[[list], list]) -> list:
    """The schedules of one optimiser, with begin, end and periods in true steps.

    Args:
        runner: of the training.
        given: a schedule, or a list of them: configs, or built ones, which stay as they are.
        build: mmengine's function that builds a list of configs.

    Raises:
        ConfigError: a schedule cannot be built, or would fail in the middle of the training.
    """
    if isinstance(runner.optim_wrapper, OptimWrapperDict):
        raise ConfigError(
            f'optim_wrapper: found {len(runner.optim_wrapper)} optimisers, expected one, which trains the whole model; '
            'paramwise_cfg.custom_keys gives parts of it other rates'
        )
    if isinstance(given, Mapping) and 'type' not in given:
        raise ConfigError(
            f"param_scheduler: found a dict without 'type' ({', '.join(map(str, given)) or 'empty'}), expected one "
            'schedule or a list of them; a dict by name is for several optimisers, of which there is one'
        )
    calendar = Calendar.of(runner.train_loop)
    several = isinstance(given, Sequence)
    built = []
    for number, one in enumerate(given if several else [given]):
        if not isinstance(one, Mapping):
            built += build([one])
            continue
        where = f'param_scheduler[{number}]' if several else 'param_scheduler'
        options, remark = translate(one, calendar, where)
        if options is not None and is_plateau(options['type']) and runner.cfg.get('val_cfg') is None:
            remark = f'{where}: {one["type"]} acts after validations, of which this training has none'
        # The schedules of a fold are those of the training, which has told it.
        if remark and runner.param_schedulers is not None:
            print_log(remark, 'current', logging.WARNING)
        if options is not None:
            built += _build(build, options, where)
    return built


def translate(config: Mapping[str, Any], calendar: Calendar, where: str) -> tuple[dict[str, Any] | None, str]:
    """A schedule as mmengine's constructor takes it, with its end and converted, and a remark on it, if any.

    Args:
        config: of one schedule. None as `end` is the end of the training.
        calendar: of the training.
        where: the key of the schedule, for messages.

    Returns:
        The options, None for a schedule that begins after the training; and one line for the log, or ''.

    Raises:
        ConfigError: a value is invalid.
    """
    options = copy.deepcopy(dict(config))
    kind = options['type'] = class_of(options['type'], where)
    is_converted = options.pop('convert_to_iter_based', False)
    by_epoch = options.setdefault('by_epoch', True)
    for key, value in (('convert_to_iter_based', is_converted), ('by_epoch', by_epoch)):
        if not isinstance(value, bool):
            raise ConfigError(f'{where}.{key}: found {value!r}, expected True or False')
    if is_converted and not by_epoch:
        raise ConfigError(
            f'{where}: found convert_to_iter_based=True with by_epoch=False, expected one of them; a schedule that '
            'counts steps needs no conversion'
        )
    if is_plateau(kind) and (is_converted or not by_epoch):
        raise ConfigError(
            f'{where}: found {kind.__name__} by steps, expected by_epoch=True without convert_to_iter_based: it acts '
            'after validations; leave both out'
        )
    if is_converted and not issubclass(kind, CONVERTIBLE):
        raise ConfigError(
            f'{where}: found convert_to_iter_based=True for {kind.__name__}, expected one of mmengine, as nothing '
            'tells which of its options count epochs; give it in steps, with by_epoch=False'
        )
    if is_plateau(kind) and 'monitor' in options:  # mmengine takes 'less' for all, also for accuracies
        options.setdefault('rule', direction(str(options['monitor'])) or 'less')
    check_counts(options, where, fractions=is_converted)
    last, unit = (calendar.epochs, 'epochs') if by_epoch else (calendar.total, 'steps')
    begin, end = options.setdefault('begin', 0), options.get('end')
    options['end'] = end = last if end is None else end
    if begin >= last:
        return None, f'{where}: found begin={begin} in a training of {last} {unit}: this schedule never acts'
    if end <= begin:
        raise ConfigError(f'{where}: found begin={begin} and end={end}, expected begin < end')
    remark = ''
    if end > last:
        remark = f'{where}: found end={end} in a training of {last} {unit}, which cuts this schedule off'
        remark += '; without end and T_max it would take all of them' if 'T_max' in options else ''
    if is_converted:
        options = _converted(options, calendar)
        if options['end'] <= options['begin']:
            return None, f'{where}: found begin={begin} and end={end}, less than a step: this schedule never acts'
        if never_ends(options, calendar.total):
            return None, (
                f'{where}: found begin={begin} and end={end}, which is one step: {kind.__name__} would leave the rate '
                'at its factor after it, and is left out'
            )
    check_course(options, where, calendar.epochs if options['by_epoch'] else calendar.total)
    return options, remark


def _converted(options: dict[str, Any], calendar: Calendar) -> dict[str, Any]:
    """A schedule by epochs as one by steps; what it counts from its begin is counted from there."""
    begin, end, kind = options['begin'], options['end'], options['type']
    start = calendar.steps(begin)

    def span(epochs: float) -> int:
        return calendar.steps(begin + epochs) - start

    result = options | dict(begin=start, end=calendar.steps(end), by_epoch=False)
    for key in ('T_max', 'total_steps'):
        if options.get(key) is not None:
            result[key] = max(span(options[key]), 1)
    if 'milestones' in options:
        result['milestones'] = [span(epoch) for epoch in options['milestones']]
    if 'periods' in options:
        ends = [0, *(span(epochs) for epochs in accumulate(options['periods']))]
        result['periods'] = [after - before for before, after in zip(ends, ends[1:], strict=False)]
    if kind in MILESTONES and 'step_size' in options:
        size = result.pop('step_size')
        epochs = range(1, int(min(end, calendar.epochs) / size) + 1)
        result |= dict(type=MILESTONES[kind], milestones=[span(size * number) for number in epochs])
    if issubclass(kind, scheduler.ExponentialParamScheduler):
        ends = [calendar.steps(epoch) - start for epoch in range(calendar.epochs + 1)]
        result['type'] = type(kind.__name__, (_SpreadGamma, kind), dict(epoch_ends=ends))
    return result


class _SpreadGamma:
    """Gamma is the factor of an epoch, and each of its steps has an equal part of it.

    mmengine converts an exponential schedule by taking gamma at every step: 0.9 an epoch of 100 steps becomes 3e-5.
    """

    epoch_ends: Sequence[int]  # steps from the begin of the schedule to the end of each epoch, a 0 or less before them
    gamma: float
    last_step: int

    def _get_value(self) -> list[float]:
        of_epoch = self.gamma
        after = bisect_right(self.epoch_ends, max(self.last_step - 1, 0))  # the step before this one lies in that epoch
        after = min(after, len(self.epoch_ends) - 1)
        self.gamma = of_epoch ** (1 / (self.epoch_ends[after] - self.epoch_ends[after - 1]))
        try:
            return super()._get_value()  # type: ignore[misc]
        finally:
            self.gamma = of_epoch


def _build(build: Callable[[list], list], options: dict[str, Any], where: str) -> list:
    try:
        return build([options])
    # The constructors check with these, and by the way: dividing by 0.
    except (AssertionError, ArithmeticError, KeyError, TypeError, ValueError) as error:
        reason = ' '.join(str(error).split()) or 'give either eta_min or eta_min_ratio'  # the one that has no text
        raise ConfigError(
            f'{where}: found a {options["type"].__name__} that cannot be built ({reason}), expected the options that '
            'mmengine documents'
        ) from error
