"""Steps of the optimiser, each on one or several batches of the loader (`optim_wrapper.accumulative_counts`).

A step on k batches of B images is the step on one batch of k * B: the hooks see its images at once, the losses count
over all of them, and gradients are computed on k parts, one after the other, so that memory suffices.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from cssa_mm.engine.finite_steps import Batch, Fault, FiniteSteps
from cssa_mm.errors import ConfigError, require_whole_number
from cssa_mm.models.objective import Targets


class OptimiserSteps:
    """Takes the steps of an optimiser on a model, and knows whether the last one was made.

    Args:
        model: the model, or its wrapper in a distributed run.
        optimiser: its optimiser.
        on_fault: called before a step whose loss or gradients are not finite (`FiniteSteps`); None: it is taken.
    """

    def __init__(
        self, model: BaseModel, optimiser: OptimWrapper, on_fault: Callable[[Fault], None] | None = None
    ) -> None:
        self.model = model
        self.optimiser = optimiser
        self.parts = accumulation_of(optimiser)
        self.was_made = True
        optimiser.optimizer.register_step_post_hook(self._note)
        self.finite = None if on_fault is None else FiniteSteps(model, optimiser, on_fault)

    def take(self, batch: Batch) -> dict[str, Tensor]:
        """Take one step on a batch, in parts; returns the losses of the whole batch by their names.

        Afterwards `was_made` is False where the optimiser was left out, as mixed precision does after an overflow.
        """
        self.was_made = False
        if self.finite is not None:
            self.finite.begin(batch)
        logs = [self.model.train_step(part, optim_wrapper=self.optimiser) for part in split(batch, self.parts)]
        if self.finite is not None:
            self.finite.end(self.was_made)
        if len(logs) == 1:
            return logs[0]
        # The losses of a part are multiplied by the number of parts, so that their mean is the loss of the step.
        return OrderedDict((name, torch.stack([log[name].detach() for log in logs]).mean(0)) for name in logs[0])

    def _note(self, optimiser: torch.optim.Optimizer, *_: object) -> None:
        # A gradient scaler calls the step of a fused optimiser all the same, and tells it to do nothing.
        overflow = getattr(optimiser, 'found_inf', None)
        self.was_made = overflow is None or not bool(overflow)


def accumulation_of(optimiser: OptimWrapper | Mapping | None) -> int:
    """The number of batches of a step of an optimiser, built or of the config.

    Raises:
        ConfigError: it is no whole number from 1.
    """
    if isinstance(optimiser, OptimWrapper):
        return int(optimiser._accumulative_counts)
    value = (optimiser or {}).get('accumulative_counts', 1)
    require_whole_number('optim_wrapper.accumulative_counts', value, 1)
    return value


def count_in_steps(optimiser: OptimWrapper) -> OptimWrapper:
    """Let mmengine tell an optimiser the numbers of steps, which it counts in batches; returns it.

    Its warnings are left out: here no accumulation ends in the middle, and no batch norm learns.
    """
    initialise, parts = optimiser.initialize_count_status, accumulation_of(optimiser)

    def in_batches(_: nn.Module, init_counts: int, max_counts: int) -> None:
        initialise(nn.Identity(), init_counts * parts, max_counts * parts)

    if parts > 1:
        optimiser.initialize_count_status = in_batches
    return optimiser


def merged(batches: Sequence[Batch]) -> Batch:
    """The batch of a step from those of the loader, one part after the other."""
    for batch in batches:
        if not isinstance(batch, dict) or not {'inputs', 'data_samples'} <= batch.keys():
            found = list(batch) if isinstance(batch, dict) else type(batch).__name__
            raise ConfigError(
                f'train_dataloader.collate_fn: found one that returns {found}, expected a dict of inputs and '
                "data_samples, such as of dict(type='pseudo_collate')"
            )
    if len(batches) == 1:
        return batches[0]
    return {key: [item for batch in batches for item in batch[key]] for key in batches[0]}


def split(batch: Batch, parts: int) -> list[Batch]:
    """The parts of a batch, which have as many images each."""
    if parts == 1:
        return [batch]
    size = len(batch['data_samples']) // parts
    return [_rows(batch, slice(part * size, (part + 1) * size), parts) for part in range(parts)]


def _rows(value: Any, rows: slice, parts: int) -> Any:
    if isinstance(value, dict):
        return {key: _rows(item, rows, parts) for key, item in value.items()}
    if isinstance(value, Targets):
        return value.part(rows, parts)
    if isinstance(value, tuple):  # local and global features
        return tuple(_rows(item, rows, parts) for item in value)
    return value if value is None else value[rows]
