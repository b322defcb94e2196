"""The teacher: an exponential moving average of the trainable parameters, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cssa_mm.values import Share


class ParameterEMA(nn.Module):
    """Averages of a module's trainable parameters, kept as buffers: in the checkpoint, not in the optimiser.

    The decay of step t is min(decay, (1 + t) / (10 + t)): without that warm-up a decay of .9997 would still hold
    half of the initial prompts after 2,300 steps.

    Args:
        module: the student (given by the classifier); no reference to it is kept.
        decay: the final decay (CAP: .9997).
        warm_up: False uses `decay` from the first step.
    """

    steps: Tensor

    def __init__(self, module: nn.Module, decay: Share = 0.9997, warm_up: bool = True) -> None:
        super().__init__()
        self.decay = decay
        self.warm_up = warm_up
        for name, parameter in _trainable(module).items():
            self.register_buffer(_key(name), parameter.detach().clone())
        self.register_buffer('steps', torch.tensor(0))

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the averages towards the student's parameters by one step."""
        step = int(self.steps)
        decay = min(self.decay, (1 + step) / (10 + step)) if self.warm_up else self.decay
        for name, parameter in _trainable(module).items():
            self.get_buffer(_key(name)).lerp_(parameter, 1 - decay)
        self.steps += 1

    @torch.no_grad()
    def reset(self, module: nn.Module) -> None:
        """Reset the averages to the student's parameters and the step count to 0."""
        for name, parameter in _trainable(module).items():
            self.get_buffer(_key(name)).copy_(parameter)
        self.steps.zero_()

    @torch.no_grad()
    def equals(self, module: nn.Module) -> bool:
        """Whether the averages are the student's parameters."""
        return all(torch.equal(self.get_buffer(_key(name)), own) for name, own in _trainable(module).items())

    @contextmanager
    def applied_to(self, module: nn.Module) -> Iterator[None]:
        """Let `module` hold the averages within the block, and its own parameters again afterwards."""
        parameters = _trainable(module)
        own = {name: parameter.data for name, parameter in parameters.items()}
        try:
            for name, parameter in parameters.items():
                parameter.data = self.get_buffer(_key(name))
            yield
        finally:
            for name, parameter in parameters.items():
                parameter.data = own[name]


def _trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def _key(name: str) -> str:
    return name.replace('.', '__')
