"""Sample keys: which image to load, and the seed that alone decides its augmentation."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch


class SampleKey(NamedTuple):
    """What a sampler hands to a data set: the image's index and the seed of its augmentation.

    An augmentation that depends on nothing but its key is the same in any worker process, on any rank and
    after a resume.
    """

    index: int
    seed: int


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and PyTorch's (CPU) global generators, and restore all three afterwards."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch_state = torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed would reseed the CUDA generators too, which are not restored here.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
