"""The EMA teacher follows the student."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS


@HOOKS.register_module()
class TeacherHook(Hook):
    """Moves the teacher's averages after every step (CAP: every step, warm-up included)."""

    priority = 'NORMAL'

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """One EMA step."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.teacher.update(model.head)
