"""The EMA teacher follows the student."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from cssa_mm.features.encode import bare_model


@HOOKS.register_module()
class TeacherHook(Hook):
    """Moves the teacher's averages after every step (CAP: every step, warm-up included)."""

    priority = 'NORMAL'

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """One EMA step."""
        model = bare_model(runner)
        model.teacher.update(model.scorer())
