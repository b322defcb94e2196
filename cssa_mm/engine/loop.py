"""The train loop: warm-up epochs over the labelled images, then semi-supervised epochs over the unlabelled ones."""

from __future__ import annotations

from mmengine.runner import EpochBasedTrainLoop
from mmpretrain.registry import LOOPS
from torch.utils.data import DataLoader

from cssa_mm.errors import ConfigError
from cssa_mm.semi.sampler import GlobalBatchSampler


@LOOPS.register_module()
class SemiSupervisedTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs of two lengths (recipe of CAP, a reconstruction here).

    Args:
        runner: given by the runner.
        dataloader: given by the runner; its batches must come from a `GlobalBatchSampler`.
        warmup_epochs: passes over the labelled images alone.
        semi_epochs: passes over the unlabelled images; 0 trains on labels only.
        val_begin: first epoch that is followed by a validation.
        val_interval: epochs between validations; the last epoch always has one.
    """

    def __init__(
        self,
        runner: object,
        dataloader: DataLoader | dict,
        warmup_epochs: int = 12,
        semi_epochs: int = 28,
        val_begin: int = 1,
        val_interval: int = 1,
    ) -> None:
        for name, value in (('warmup_epochs', warmup_epochs), ('semi_epochs', semi_epochs)):
            if not isinstance(value, int) or value < 0:
                raise ConfigError(f'train_cfg.{name}: found {value!r}, expected a whole number from 0')
        super().__init__(runner, dataloader, warmup_epochs + semi_epochs, val_begin, val_interval)
        batches = self.dataloader.batch_sampler
        if not isinstance(batches, GlobalBatchSampler):
            raise ConfigError(
                f'train_dataloader.batch_sampler: found a {type(batches).__name__}, expected '
                "batch_sampler=dict(type='GlobalBatchSampler') with sampler=dict(type='SemiSupervisedSampler')"
            )
        sampler = batches.sampler
        if semi_epochs:
            sampler.require_unlabelled()
        self.warmup_epochs = warmup_epochs
        self.semi_epochs = semi_epochs
        sampler.warmup_epochs = warmup_epochs
        self._max_iters = sum(sampler.num_batches(epoch) for epoch in range(self.max_epochs))

    def run_epoch(self) -> None:
        """Run one epoch, and tell the sampler its number, whatever hooks there are."""
        self.dataloader.batch_sampler.sampler.set_epoch(self.epoch)
        super().run_epoch()
