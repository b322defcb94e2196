"""A bar over all steps of a training, in place of a log on the screen."""

from __future__ import annotations

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from tqdm import tqdm


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows the steps of a training with the time that is left; for `log_level='WARNING'`, which logs no step."""

    def before_train(self, runner: Runner) -> None:
        """Begin the bar, where a resumed training goes on."""
        self._bar = tqdm(
            total=runner.max_iters, initial=runner.iter, desc='Training', unit='step', disable=not is_main_process()
        )

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Count a step."""
        self._bar.update()

    def after_train(self, runner: Runner) -> None:
        """End the bar."""
        self._bar.close()
