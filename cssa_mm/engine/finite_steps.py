"""The check before each step of the optimiser: a loss or gradient that is NaN or infinite never moves the model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor

from cssa_mm.errors import NonFiniteError

Batch = dict[str, Any]
# So many overflows in a row are no search for a scale any more: it goes down from 2^16 by halves.
MOST_OVERFLOWS = 40
GIVEN = 'given'  # the attribute of a method in place of another one


@dataclass(frozen=True)
class Fault:
    """A step that must not be taken.

    Attributes:
        model: as it is before the step, in its distributed wrapper if there is one.
        batch: of the step, as the loop hands it on.
        generators: states of the CPU's and of the GPU's random numbers before the step.
        is_here: whether this rank's loss is not finite; gradients are sums over all ranks.
        parts: in how many parts the gradients of the step accumulate.
        half: the type of mixed precision, where there is one.
    """

    model: BaseModel
    batch: Batch
    generators: dict[str, Tensor]
    is_here: bool
    parts: int = 1
    half: str | None = None

    @contextmanager
    def random_numbers(self) -> Iterator[None]:
        """Draw the random numbers of the step again."""
        with torch.random.fork_rng():
            set_torch_generators(self.generators)
            yield


def set_torch_generators(states: dict[str, Tensor]) -> None:
    """Let PyTorch's generators of CPU and GPU, those that a step draws from, continue from these states."""
    torch.set_rng_state(states['cpu'])
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'])


class FiniteSteps:
    """Stands between the gradients of an optimiser and its step.

    One tensor is read a step, the same on all ranks. A gradient scaler is let through with gradients that overflow, as
    it looks for a scale at which they don't; its loss has no scale.

    Args:
        model: the model.
        optimiser: its optimiser; `scale_loss` and `step` of this one are replaced.
        on_fault: called on all ranks at once in place of a step that is not finite. If it returns, the step is left
            out.
    """

    def __init__(self, model: BaseModel, optimiser: OptimWrapper, on_fault: Callable[[Fault], None]) -> None:
        self.model = model
        self.optimiser = optimiser
        self.on_fault = on_fault
        self.batch: Batch = {}
        self.generators: dict[str, Tensor] = {}
        self.losses: list[Tensor] = []
        self.overflows = 0
        self.is_scaled = getattr(optimiser, 'loss_scaler', None) is not None
        self._scale, self._take = (getattr(given, GIVEN, given) for given in (optimiser.scale_loss, optimiser.step))
        optimiser.scale_loss = _in_place_of(self._scale, self._scale_loss)
        optimiser.step = _in_place_of(self._take, self._step)

    def begin(self, batch: Batch) -> None:
        """Remember what the step starts from."""
        self.batch, self.losses, self.generators = batch, [], dict(cpu=torch.get_rng_state())
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            self.generators['cuda'] = torch.cuda.get_rng_state()

    def end(self, was_made: bool) -> None:
        """Forget it, and count steps that a gradient scaler has left out."""
        self.batch = {}
        self.overflows = 0 if was_made or not self.is_scaled else self.overflows + 1
        if self.overflows > MOST_OVERFLOWS:
            raise NonFiniteError(
                f'optim_wrapper: found gradients that overflow in {self.overflows} steps in a row at any loss scale, '
                'expected finite ones; train without --amp, or with bfloat16'
            )

    def _scale_loss(self, loss: Tensor) -> Tensor:
        self.losses.append(loss.detach())
        return self._scale(loss)

    def _step(self, **options: Any) -> None:
        if self._is_finite():
            self._take(**options)

    def _is_finite(self) -> bool:
        """Whether loss and gradients are finite, on all ranks; else `on_fault` has been called."""
        losses = torch.stack([loss.float() for loss in self.losses])
        flags = ~torch.isfinite(losses).all().reshape(1)
        if not self.is_scaled:
            groups = self.optimiser.optimizer.param_groups
            gradients = [p.grad for group in groups for p in group['params'] if p.grad is not None]
            if gradients:
                largest = torch.nn.utils.get_total_norm(gradients, torch.inf)  # its square may be infinite, it is not
                flags = torch.cat([flags, ~torch.isfinite(largest).reshape(1)])
        everywhere = flags.any().float()
        if get_world_size() > 1:
            all_reduce(everywhere, 'max')
        if not everywhere:
            return True
        parts = int(self.optimiser._accumulative_counts)
        self.on_fault(Fault(self.model, self.batch, self.generators, bool(flags[0]), parts, self._half()))
        return False

    def _half(self) -> str | None:
        if not self.is_scaled:
            return None
        return str(getattr(self.optimiser, 'cast_dtype', None) or torch.float16).removeprefix('torch.')


def _in_place_of(given: Callable, method: Callable) -> Callable:
    """A method in place of another one, with the marks on it by which schedules know that they count its calls."""

    @functools.wraps(given)
    def replacement(*args: Any, **named: Any) -> Any:
        return method(*args, **named)

    setattr(replacement, GIVEN, given)
    return replacement
