"""What a schedule of the config must be: one line in place of mmengine's traceback at the start or in mid-training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmengine.optim import scheduler
from mmpretrain.registry import PARAM_SCHEDULERS

from cssa_mm.errors import ConfigError, nearest
from cssa_mm.names import component_of

LISTS = ('milestones', 'periods')
COUNTS = ('begin', 'end', 'T_max', 'step_size', 'total_steps', *LISTS)


def check_schedules(config: Mapping[str, Any]) -> None:
    """Check the form of `param_scheduler`, which mmengine refuses with a traceback.

    Raises:
        ConfigError: it is no schedule, list of schedules or None.
    """
    given = config.get('param_scheduler')
    if isinstance(given, list | tuple):
        wrong = [f'param_scheduler[{i}]={one!r}' for i, one in enumerate(given) if not _names_a_type(one)]
    else:
        wrong = [] if given is None or isinstance(given, Mapping) else [f'param_scheduler={given!r}']
    if wrong:
        raise ConfigError(
            f"param_scheduler: found {wrong[0]}, expected a schedule such as dict(type='CosineAnnealingLR', "
            'by_epoch=False), a list of them, or None for constant rates'
        )


def _names_a_type(value: Any) -> bool:
    return 'type' in value if isinstance(value, Mapping) else hasattr(value, 'state_dict')  # or is built already


def class_of(kind: Any, where: str) -> type:
    """The class of a schedule.

    Raises:
        ConfigError: there is none of that name.
    """
    found = component_of(kind, PARAM_SCHEDULERS)
    if not isinstance(found, type):
        known = (*PARAM_SCHEDULERS.module_dict, *PARAM_SCHEDULERS.parent.module_dict)
        raise ConfigError(f"{where}.type: found '{kind}', expected the name of a schedule.{nearest(str(kind), known)}")
    return found


def is_plateau(kind: type) -> bool:
    """Whether a class waits for a plateau of a metric."""
    return issubclass(kind, scheduler.ReduceOnPlateauParamScheduler)


def check_counts(options: Mapping[str, Any], where: str, fractions: bool) -> None:
    """Check that what counts epochs or steps is a number or a list of them, whole ones unless it is converted.

    Raises:
        ConfigError: one is not.
    """
    for key in COUNTS:
        given = options.get(key)
        if given is None:
            continue
        if (key in LISTS) != isinstance(given, list | tuple):
            what = 'a list of positive numbers' if key in LISTS else 'a positive number'
            raise ConfigError(f'{where}.{key}: found {given!r}, expected {what}')
        for value in given if key in LISTS else [given]:
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            is_whole = is_number and float(value).is_integer()
            if not is_number or value < 0 or (key in ('step_size', 'total_steps', 'T_max') and value == 0):
                raise ConfigError(f'{where}.{key}: found {value!r}, expected a positive number')
            if not is_whole and not fractions:
                unit = 'epochs' if options['by_epoch'] else 'steps'
                hint = '; parts of an epoch need convert_to_iter_based=True' if options['by_epoch'] else ''
                raise ConfigError(f'{where}.{key}: found {value!r}, expected a whole number of {unit}{hint}')


def never_ends(options: Mapping[str, Any], last: int) -> bool:
    """Whether mmengine leaves the rate at the factor of a schedule of one step, in the training that follows it."""
    is_factor = issubclass(options['type'], scheduler.LinearParamScheduler | scheduler.ConstantParamScheduler)
    return is_factor and options['end'] - options['begin'] == 1 and options['end'] < last


def check_course(options: Mapping[str, Any], where: str, last: int) -> None:
    """Refuse what mmengine's schedules stumble over after the first step: the next rate comes from the one before.

    Args:
        options: with begin and end.
        where: the key of the schedule, for messages.
        last: epochs or steps of the training.

    Raises:
        ConfigError: an option would end the training.
    """
    kind, length = options['type'], min(options['end'], last) - options['begin']
    for family, key in ((scheduler.LinearParamScheduler, 'start_factor'), (scheduler.ConstantParamScheduler, 'factor')):
        if issubclass(kind, family) and options.get(key) == 0:
            raise ConfigError(
                f'{where}.{key}: found 0, expected more, such as 1e-6: mmengine multiplies the rate by quotients of it'
            )
    if never_ends(options, last):
        raise ConfigError(
            f'{where}.end: found {options["end"]}, but {kind.__name__} reaches its full rate in its last '
            f'{"epoch" if options["by_epoch"] else "step"}, expected two at least; with one the rate would stay low'
        )
    total = options.get('total_steps')
    if issubclass(kind, scheduler.OneCycleParamScheduler) and total is not None and total < length:
        unit = 'epochs' if options['by_epoch'] else 'steps'
        raise ConfigError(
            f'{where}.total_steps: found {total} {unit} for a schedule that acts for {length}, expected as many; leave '
            'total_steps out'
        )
    if is_plateau(kind) and options.get('monitor', 'loss') == 'loss':
        raise ConfigError(
            f"{where}.monitor: found 'loss', which no validation measures, expected one of its metrics, such as "
            "monitor='ema/mAP'"
        )
