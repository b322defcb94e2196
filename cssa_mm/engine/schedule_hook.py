"""The hook that moves the schedules on."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import ParamSchedulerHook
from mmengine.optim.scheduler import ReduceOnPlateauParamScheduler
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.errors import ConfigError, nearest


@HOOKS.register_module()
class StepSchedulerHook(ParamSchedulerHook):
    """mmengine's hook, for schedules that count optimiser steps: one that was skipped does not count.

    The runner puts it in the place of mmengine's own.
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Move schedules by steps on, if the optimiser has made one (AMP skips those whose gradients overflow)."""
        if getattr(runner.train_loop, 'made_step', True):
            super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Show the metrics to the schedules that wait for a plateau, and keep by how much these have reduced.

        Raises:
            ConfigError: a schedule monitors a metric that there is not.
        """
        if metrics is None:
            return
        for schedule in plateau_schedules(runner.param_schedulers):
            if 0 < runner.epoch <= getattr(schedule, 'validated_epoch', 0):
                continue  # a resumed run repeats a validation for other hooks
            if schedule.monitor not in metrics:
                raise ConfigError(
                    f"param_scheduler: found monitor='{schedule.monitor}' of {type(schedule).__name__}, expected one "
                    f'of the metrics {", ".join(metrics)}.{nearest(schedule.monitor, metrics)}'
                )
            groups = schedule.optimizer.param_groups
            before = [group[schedule.param_name] for group in groups]
            schedule.step({schedule.monitor: float(metrics[schedule.monitor])})  # it keeps the best one
            schedule.validated_epoch = runner.epoch
            known = getattr(schedule, 'reduced', [1.0] * len(groups))
            schedule.reduced = [
                share * group[schedule.param_name] / value if value else share
                for share, group, value in zip(known, groups, before, strict=True)
            ]


def plateau_schedules(schedules: Any) -> list[ReduceOnPlateauParamScheduler]:
    """Those of the built schedules that wait for a plateau; none of what is not built."""
    listed = schedules if isinstance(schedules, list) else []
    return [schedule for schedule in listed if isinstance(schedule, ReduceOnPlateauParamScheduler)]
