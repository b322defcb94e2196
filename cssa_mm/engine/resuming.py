"""How a run goes on from a checkpoint: with the moments of the checkpoint, and the settings of the config.

| what | whence |
|---|---|
| weights, teacher, moments of the optimiser, AMP's scale, counters of ReduceOnPlateau | checkpoint |
| rate, weight decay, betas and other options of the optimiser | config |
| place in the epoch, pseudo-labels, generators, averages of the log | checkpoint (`engine/progress.py`) |
| schedules | config; moved on to the steps that are done |
| number of the step (`runner.iter`) | the steps that are done, counted with this config |
| seed | config; that of the checkpoint where the config has none |

An unchanged config goes on bitwise as if the run had not stopped, steps that AMP skipped included. A changed one is
followed from the first step on, and one line names what changed; where an epoch that is under way would see other
images, it begins again. What cannot change is refused: fewer epochs than are
done, another number of warm-up epochs among them, another optimiser or other groups of parameters.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner

from cssa_mm.engine.calendar import Calendar, is_validated
from cssa_mm.engine.changed_settings import differences, settings_of, settings_of_checkpoint
from cssa_mm.engine.checkpoints import plain_entries
from cssa_mm.engine.progress import TrainingProgress
from cssa_mm.engine.schedule_hook import plateau_schedules
from cssa_mm.errors import CheckpointError, ConfigError

# What a schedule that waits for a plateau counts, and what any changes while it runs; all else are its options.
PLATEAU = ('last_step', 'best', 'num_bad_epochs', 'cooldown_counter', 'reduced', 'validated_epoch')
COURSE = {'_global_step', '_last_value', 'verbose', *PLATEAU}
# Options without which an optimiser keeps fewer moments. SGD begins those of a momentum when it is asked to.
MOMENTS, MOMENTS_OF = ('amsgrad', 'centered'), {'RMSprop': ('momentum',)}
START_ANEW = 'or start from its weights alone: load_from=CHECKPOINT in place of --resume'


def check_resume(runner: Runner, content: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Check that a config can go on from a checkpoint.

    Raises:
        ConfigError: the config has fewer epochs than are done, or other warm-up epochs among them.
        CheckpointError: the config has another optimiser, or other parameters in its groups.
    """
    done, loop = content['meta']['epoch'], runner.train_loop
    before, now = settings_of_checkpoint(content) or {}, settings_of(runner.cfg)
    if done > loop.max_epochs:
        raise ConfigError(
            f"train_cfg: found {loop.max_epochs} epochs, expected at least the {done} that '{path}' has done; raise "
            'train_cfg.semi_epochs, or resume from an earlier checkpoint'
        )
    warmup = [settings.get('train_cfg.warmup_epochs') for settings in (before, now)]
    if None not in warmup and min(warmup[0], done) != min(warmup[1], done):
        rule = f'{warmup[0]}' if warmup[0] < done else f'at least {done}'
        raise ConfigError(
            f"train_cfg.warmup_epochs: found {warmup[1]}, but '{path}' has done {min(warmup[0], done)} in its {done} "
            f'epochs, expected {rule}; set it, and change train_cfg.semi_epochs'
        )
    kind = now.get('optim_wrapper.optimizer.type')
    for name in ('type', *MOMENTS, *MOMENTS_OF.get(str(kind), ())):
        key = f'optim_wrapper.optimizer.{name}'
        found, kept = now.get(key, False), before.get(key, False)
        if before and (found != kept if name == 'type' else bool(found) != bool(kept)):
            raise CheckpointError(
                f"{key}: found {found}, but '{path}' has the moments of {kept}, expected the same; set it, {START_ANEW}"
            )
    stored, groups = content['optimizer'], runner.optim_wrapper.optimizer.param_groups
    sizes = [[len(group['params']) for group in of] for of in (stored['param_groups'], groups)]
    parameters = [parameter for group in groups for parameter in group['params']]
    shapes = [
        (moment.shape, parameters[index].shape)
        for index, state in (stored['state'].items() if sizes[0] == sizes[1] else ())
        for moment in state.values()
        if getattr(moment, 'ndim', 0)
    ]
    if sizes[0] != sizes[1] or any(found != expected for found, expected in shapes):
        raise CheckpointError(
            f"optim_wrapper: found {sum(sizes[1])} parameters in {len(sizes[1])} groups, but '{path}' has moments of "
            f'{sum(sizes[0])} in {len(sizes[0])}, or of other shapes; restore paramwise_cfg and model, {START_ANEW}'
        )


def go_on(runner: Runner, content: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Bring optimiser and schedules of a runner to where a checkpoint ends; model and counters are there already."""
    done, steps_then = content['meta']['epoch'], content['meta']['iter']
    progress, calendar = TrainingProgress.of_checkpoint(content), Calendar.of(runner.train_loop)
    if progress is not None and progress.step and not progress.is_continued_by(runner):
        progress = None
    step = 0 if progress is None else progress.step
    runner.train_loop._iter = calendar.steps(done) + step
    _load_moments(runner.optim_wrapper, content['optimizer'])
    before = settings_of_checkpoint(content)
    changes = [] if before is None else differences(before, settings_of(runner.cfg))
    schedules, stored = runner.param_schedulers or [], content.get('param_schedulers') or []
    is_kept = runner.iter == steps_then and not any(change.startswith('param_scheduler') for change in changes)
    is_kept = is_kept and _options(schedule.state_dict() for schedule in schedules) == _options(stored)
    if is_kept:
        _restore(runner.optim_wrapper, schedules, content)
    else:
        _replay(schedules, stored, calendar, done, step, steps_then)
    # The last epoch that began: a checkpoint by steps is written before it ends.
    is_within = progress is None and content['message_hub'].get('runtime_info', {}).get('epoch') == done
    if progress is not None:
        progress.restore(runner)
    if not is_kept and stored and not changes and not is_within and runner.iter == steps_then:
        changes = ['its schedules are others']
    _announce(runner, changes, is_within, done, step, steps_then)
    runner.message_hub.update_info('last_ckpt', os.fspath(path))
    if runner.val_loop is not None and not step:
        runner.register_hook(OwedValidation(done), priority='LOWEST')


class OwedValidation(Hook):
    """The validation that follows the last epoch of a checkpoint, where something depends on it.

    A checkpoint is written before its epoch is validated, and once more after it if it is the best one. After the last
    epoch the metrics are the result of the run; a schedule that waits for a plateau reads those of each epoch once; a
    hook that may end the training, and one that keeps the best checkpoint, read all of them.
    """

    def __init__(self, done: int) -> None:
        self.done = done

    def before_train(self, runner: Runner) -> None:
        """Validate, if it is owed."""
        loop = runner.train_loop
        waiting = [
            schedule
            for schedule in plateau_schedules(runner.param_schedulers)
            if getattr(schedule, 'validated_epoch', 0) < self.done
        ]
        readers = [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook) or _keeps_best(hook)]
        if self.done >= loop.max_epochs or ((waiting or readers) and is_validated(loop, self.done)):
            runner.val_loop.run()


def _keeps_best(hook: Hook) -> bool:
    return isinstance(hook, CheckpointHook) and bool(hook.save_best)


def _load_moments(wrapper: OptimWrapper, stored: Mapping[str, Any]) -> None:
    """Load the moments, and AMP's scale if there is one; the options stay those that the optimiser was built with."""
    state = dict(state=stored['state'], param_groups=wrapper.optimizer.state_dict()['param_groups'])
    if isinstance(wrapper, AmpOptimWrapper) and stored.get('loss_scaler'):
        state['loss_scaler'] = stored['loss_scaler']
    wrapper.load_state_dict(state)


def _options(states: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The options of schedules, without what changes while they run."""
    return [{key: value for key, value in plain_entries(state).items() if key not in COURSE} for state in states]


def _restore(wrapper: OptimWrapper, schedules: list, content: Mapping[str, Any]) -> None:
    """The same schedules go on from their state."""
    stored = content['optimizer']
    groups = [*stored['param_groups'], *filter(None, [stored.get('base_param_settings')])]
    for schedule, state in zip(schedules, content.get('param_schedulers') or [], strict=True):
        schedule.load_state_dict({key: value for key, value in state.items() if key in COURSE})
        for group, known in zip(wrapper.param_groups, groups, strict=True):
            for name in {schedule.param_name, 'betas' if getattr(schedule, 'use_betas', False) else None} - {None}:
                group[name] = known[name]


def _replay(schedules: list, stored: list, calendar: Calendar, done: int, begun: int, steps_then: int) -> None:
    """Move new schedules on to the end of the epochs that are done, and the steps that the next one has begun with.

    Steps that AMP had skipped stay skipped. They count as the first ones, where its scale is being found.
    """
    counts = [state['_global_step'] for state in stored if not state.get('by_epoch', True)]
    skipped = max(steps_then - max(counts), 0) if counts else 0
    by_step = [schedule for schedule in schedules if not schedule.by_epoch]
    by_epoch = [schedule for schedule in schedules if schedule.by_epoch]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # they are moved on without steps of the optimiser
        for epoch, steps in enumerate([*calendar.lengths[:done], begun]):
            for step in range(steps if by_step else 0):
                if calendar.ends[epoch] + step >= skipped:
                    for schedule in by_step:
                        schedule.step()
            for schedule in by_epoch if epoch < done else ():
                schedule.step()
    plateaus = [state for state in stored if 'num_bad_epochs' in state]
    for schedule, state in zip(plateau_schedules(schedules), plateaus, strict=False):
        schedule.load_state_dict({key: state[key] for key in PLATEAU if key in state})
        shares = state.get('reduced', [1.0] * len(schedule.optimizer.param_groups))
        for group, share, least in zip(schedule.optimizer.param_groups, shares, schedule.min_values, strict=True):
            group[schedule.param_name] = max(group[schedule.param_name] * share, least)


def _announce(runner: Runner, changes: list[str], is_within: bool, done: int, step: int, steps_then: int) -> None:
    told = list(changes)
    if is_within:
        told.append(f'the checkpoint was written within epoch {done + 1}, which begins again')
    elif runner.iter != steps_then:
        told.append(f'steps of the {done} epochs {steps_then} -> {runner.iter}')
    if done >= runner.max_epochs:
        print_log(f'The run is finished: epoch {done} of {runner.max_epochs} is done; nothing to train', 'current')
    if told:
        where = f'after epoch {done}' if not step else f'after step {step} of epoch {done + 1}'
        text = f'Resumed {where}: {", ".join(told)}; the schedule is that of this config'
        print_log(text, 'current', logging.WARNING)
    if changes or (told and not is_within):
        runner.message_hub.update_info('changed_after_epoch', done)
