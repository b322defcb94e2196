"""The train loop: warm-up epochs over the labelled images, then semi-supervised epochs over the unlabelled ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any

from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import LOOPS
from torch.utils.data import DataLoader

from cssa_mm.engine.calendar import Calendar
from cssa_mm.engine.generators import GeneratorStates, generator_states, set_generators
from cssa_mm.engine.non_finite_hook import on_fault
from cssa_mm.engine.optimiser_steps import OptimiserSteps, accumulation_of, merged
from cssa_mm.engine.signals import StopOnSignal
from cssa_mm.errors import ConfigError
from cssa_mm.semi.sampler import GlobalBatchSampler
from cssa_mm.values import Epochs, Positive, check_values


@LOOPS.register_module()
class SemiSupervisedTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs of two lengths (recipe of CAP, a reconstruction here).

    An iteration is a step of the optimiser, also where its gradients accumulate over several batches.

    Args:
        runner: given by the runner.
        dataloader: given by the runner; its batches must come from a `GlobalBatchSampler`.
        warmup_epochs: passes over the labelled images alone.
        semi_epochs: passes over the unlabelled images; 0 trains on labels only.
        val_begin: first epoch that is followed by a validation.
        val_interval: epochs between validations; the last epoch has one, too, unless `val_begin` is after it.
        dynamic_intervals: pairs of an epoch and the `val_interval` from there on.
    """

    _steps: OptimiserSteps  # while it runs
    _signals: StopOnSignal
    start_step: int = 0  # of the next epoch: the steps of it that a checkpoint has made
    # The global generators as the next epoch finds them, whatever a validation has drawn since the last one.
    generators: GeneratorStates | None = None

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        warmup_epochs: Epochs = 12,
        semi_epochs: Epochs = 28,
        val_begin: Positive = 1,
        val_interval: Positive = 1,
        dynamic_intervals: Annotated[Sequence[tuple[Positive, Positive]], 'such as [(20, 2), (30, 1)]'] | None = None,
    ) -> None:
        check_values(SemiSupervisedTrainLoop, locals(), 'train_cfg')
        epochs = warmup_epochs + semi_epochs
        pairs = None if dynamic_intervals is None else [(first, interval) for first, interval in dynamic_intervals]
        super().__init__(runner, dataloader, epochs, val_begin, val_interval, pairs)
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
        sampler.accumulation = accumulation_of(runner.optim_wrapper)
        self._max_iters = Calendar.of(self).total

    @property
    def made_step(self) -> bool:
        """Whether the optimiser made the last step; mixed precision leaves it out after an overflow."""
        return not hasattr(self, '_steps') or self._steps.was_made

    def run(self) -> BaseModel:
        """Train."""
        self._steps = OptimiserSteps(self.runner.model, self.runner.optim_wrapper, on_fault(self.runner))
        parts, sampler = self._steps.parts, self.dataloader.batch_sampler.sampler
        if parts > 1:
            print_log(
                f'A step takes {parts * sampler.batch_size} images: gradients accumulate over {parts} batches '
                f'of {sampler.batch_size}. Epochs, learning rates, teacher and log count these steps',
                'current',
            )
        if self.runner.val_loop is not None and self.val_begin > self.max_epochs:
            print_log(
                f'train_cfg.val_begin={self.val_begin} is after the last of {self.max_epochs} epochs: there is no '
                'validation',
                'current',
                logging.WARNING,
            )
        with StopOnSignal(self.runner) as self._signals:
            return super().run()

    def run_epoch(self) -> None:
        """Run one epoch, and tell the sampler its number, whatever hooks there are."""
        sampler = self.dataloader.batch_sampler.sampler
        sampler.set_epoch(self.epoch)
        start, self.start_step = self.start_step, 0
        if start == 0:
            self._continue_generators()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        sampler.start_step = start
        batches = [iter(self.dataloader)] * sampler.accumulation
        if start:
            self._continue_generators()
        for index, parts in enumerate(zip(*batches, strict=True), start):
            self.run_iter(index, merged(parts))
        sampler.start_step = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
        self.generators = generator_states()
        self._signals.stop_if_asked(in_epoch=False)

    def _continue_generators(self) -> None:
        if self.generators is not None:
            set_generators(self.generators)
            self.generators = None

    def run_iter(self, idx: int, data_batch: dict[str, Any]) -> None:
        """Take one step, on a batch of all its images."""
        self.runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        outputs = self._steps.take(data_batch)
        self.runner.call_hook('after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._signals.stop_if_asked()
        self._iter += 1
