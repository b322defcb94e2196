"""Where a training is, beside the tensors of model and optimiser: what a checkpoint must hold to go on exactly."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import EarlyStoppingHook
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import Runner

from cssa_mm.engine.calendar import Calendar
from cssa_mm.engine.generators import GeneratorStates, are_same, generator_states, states_of_ranks
from cssa_mm.engine.loop import SemiSupervisedTrainLoop
from cssa_mm.semi.policies import PseudoLabels
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook

KEY = 'progress'  # of a checkpoint


@dataclass(frozen=True)
class TrainingProgress:
    """All that changes in a training, beside the tensors of its model and its optimiser (torchtune's idea).

    Contexts, taught classes, teacher, evidence and neighbours are tensors of the model. Evidence is fitted again before
    somebody reads it: it follows from the teacher.

    Attributes:
        epoch: epochs that are done.
        step: steps that the epoch after them has made; 0 between epochs.
        order: what decides which images its steps see; where it differs, the epoch begins again.
        pseudo_labels: of the M unlabelled images, with thresholds: of an epoch that is under way, else None.
        generators: of each rank.
        log_history: name of a scalar -> its last values, and how many steps each of them counts for.
        early_stopping: the counters of each hook that may end the training.
    """

    epoch: int
    step: int
    order: dict[str, Any]
    pseudo_labels: PseudoLabels | None
    generators: list[GeneratorStates]
    log_history: dict[str, list[torch.Tensor]]
    early_stopping: list[dict[str, Any]]

    @classmethod
    def of(cls, runner: Runner, epoch: int, iteration: int) -> TrainingProgress | None:
        """The progress of a runner after `epoch` epochs and `iteration` steps; all ranks must call it.

        None for a loop that is not ours.
        """
        loop = runner.train_loop
        if not isinstance(loop, SemiSupervisedTrainLoop):
            return None
        step = iteration - Calendar.of(loop).steps(epoch)
        bank = None
        if step:
            algorithms = (hook.semi_supervision for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
            bank = next((algorithm.state.bank for algorithm in algorithms), None)
        return cls(
            epoch=epoch,
            step=step,
            order=order_of(runner, epoch),
            pseudo_labels=None if bank is None else bank.gathered(),
            generators=states_of_ranks(loop.generators or generator_states()),
            log_history=dict(_log_history(runner)),
            early_stopping=[
                dict(wait_count=hook.wait_count, best_score=float(hook.best_score)) for hook in _stopping(runner)
            ],
        )

    def state(self) -> dict[str, Any]:
        """The progress as plain data."""
        state = {key: value for key, value in vars(self).items() if key != 'pseudo_labels'}
        return state | dict(pseudo_labels=None if self.pseudo_labels is None else vars(self.pseudo_labels).copy())

    @classmethod
    def of_checkpoint(cls, content: Mapping[str, Any]) -> TrainingProgress | None:
        """The progress that a checkpoint holds; None for one of an earlier version."""
        state = content.get(KEY)
        if state is None:
            return None
        labels = state['pseudo_labels']
        return cls(**{**state, 'pseudo_labels': None if labels is None else PseudoLabels(**labels)})

    def is_continued_by(self, runner: Runner) -> bool:
        """Whether a runner shows the same images in the epoch that is under way."""
        return isinstance(runner.train_loop, SemiSupervisedTrainLoop) and self.order == order_of(runner, self.epoch)

    def restore(self, runner: Runner) -> None:
        """Bring a runner there; model, optimiser and schedules are there already."""
        loop, world = runner.train_loop, get_world_size()
        loop.start_step = self.step
        if self.step:
            for hook in runner.hooks:
                if isinstance(hook, PseudoLabelHook):
                    hook.resumed = self.pseudo_labels
        loop.generators = self.generators[get_rank() % len(self.generators)]
        if len(self.generators) != world:
            others = '' if are_same(self.generators) else '; what draws from the global generators draws other numbers'
            print_log(
                f'Resumed with {_processes(world)} from a checkpoint of {_processes(len(self.generators))}: global '
                'batches, their augmentation, pseudo-labels and schedules are the same; sums over processes round in '
                f'another order, so that losses may differ in their last digits{others}',
                'current',
                logging.WARNING,
            )
        for name, (values, counts) in self.log_history.items():
            runner.message_hub.log_scalars[name] = HistoryBuffer(values.numpy(), counts.numpy())
        for hook, state in zip(_stopping(runner), self.early_stopping, strict=False):
            hook.wait_count, hook.best_score = state['wait_count'], state['best_score']


def order_of(runner: Runner, epoch: int) -> dict[str, Any]:
    """What decides the images of the steps of an epoch, and their augmentation seeds."""
    sampler, dataset = runner.train_dataloader.batch_sampler.sampler, runner.train_dataloader.dataset
    digest = hashlib.sha256()
    for indices in (sampler.labelled, sampler.unlabelled):
        digest.update(np.asarray(indices, dtype=np.int64).tobytes() + b'.')
    digest.update('\n'.join(getattr(dataset, 'image_ids', ())).encode())
    return dict(
        images=digest.hexdigest(),
        seed=sampler.seed,
        batch_size=sampler.batch_size,
        labelled_per_batch=sampler.labelled_per_batch,
        accumulation=sampler.accumulation,
        is_warmup=epoch < sampler.warmup_epochs,
    )


def _log_history(runner: Runner) -> Iterator[tuple[str, list[torch.Tensor]]]:
    """The values that averages of the log may still read."""
    processor, loop = runner.log_processor, runner.train_loop
    windows = [processor.window_size, *(part.get('window_size') for part in processor.custom_cfg)]
    longest = max([1, *Calendar.of(loop).lengths, *(window for window in windows if isinstance(window, int))])
    for name, buffer in runner.message_hub.log_scalars.items():
        kept = [values if 'global' in windows else values[-longest:] for values in buffer.data]
        yield name, [torch.from_numpy(np.array(values, dtype=np.float64)) for values in kept]


def _processes(count: int) -> str:
    return '1 process' if count == 1 else f'{count} processes'


def _stopping(runner: Runner) -> list[EarlyStoppingHook]:
    return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]
