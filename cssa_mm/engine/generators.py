"""The states of the global generators of a process, as plain data."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object
from torch import Tensor

GeneratorStates = dict[str, Any]


def generator_states() -> GeneratorStates:
    """The states of Python's, NumPy's and PyTorch's global generators, and of that of the current GPU."""
    version, words, gauss = random.getstate()
    kind, key, position, has_gauss, cached = np.random.get_state(legacy=True)
    states: GeneratorStates = dict(
        python=[version, torch.tensor(words), gauss],
        numpy=[kind, torch.from_numpy(np.asarray(key, dtype=np.int64)), position, has_gauss, cached],
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def set_generators(states: GeneratorStates) -> None:
    """Continue the global generators from what `generator_states` has returned."""
    version, words, gauss = states['python']
    random.setstate((version, tuple(words.tolist()), gauss))
    kind, key, *rest = states['numpy']
    np.random.set_state((kind, key.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states['torch'])
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'])


def states_of_ranks(own: GeneratorStates) -> list[GeneratorStates]:
    """The states of all ranks by their numbers, each of which gives its own; all ranks must call it."""
    return all_gather_object(own)


def are_same(states: Sequence[GeneratorStates]) -> bool:
    """Whether the generators of all ranks are in one state."""
    return all(_flat(state) == _flat(states[0]) for state in states)


def _flat(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _flat(item) for key, item in value.items()}
    return [_flat(item) for item in value] if isinstance(value, list | tuple) else value
