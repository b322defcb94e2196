"""A holder for modules that never train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class Frozen(nn.Module):
    """Keeps a module out of everything that training touches.

    The held module is no child: `parameters()`, `state_dict()`, `named_modules()` and `train()` do not see it,
    so neither do the optimiser, the EMA, the distributed wrapper and the checkpoint. It stays in eval mode,
    has no gradients, follows `to()` and is shared, not duplicated, by `copy.deepcopy`.
    """

    held: Any  # a module, whose parts depend on its family

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, 'held', module.eval().requires_grad_(False))

    def _apply(self, fn: Callable, recurse: bool = True) -> Frozen:
        self.held._apply(fn)
        return super()._apply(fn, recurse)

    def __deepcopy__(self, memo: dict) -> Frozen:
        return self
