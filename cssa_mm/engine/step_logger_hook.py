"""A logger hook for training with very short epochs."""

from __future__ import annotations

from mmengine.hooks import LoggerHook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS


@HOOKS.register_module()
class StepLoggerHook(LoggerHook):
    """mmengine's logger, which counts steps over the whole training if epochs are shorter than its interval.

    mmengine's own logs the end of every such epoch: hundreds of lines in a warm-up on a few labelled images.
    """

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Log every `interval` steps, and the last one."""
        if len(runner.train_dataloader) >= self.interval:
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
        elif self.every_n_train_iters(runner, self.interval) or runner.iter + 1 == runner.max_iters:
            # mmengine's own would ask for the step of the epoch, which never reaches the interval.
            tag, text = runner.log_processor.get_log_after_iter(runner, batch_idx, 'train')
            runner.logger.info(text)
            runner.visualizer.add_scalars(tag, step=runner.iter + 1, file_path=self.json_log_path)
