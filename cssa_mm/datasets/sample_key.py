"""Sample keys: which image to load, and the seed that alone decides its augmentation."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import groupby
from typing import NamedTuple, TypeVar

import numpy as np
import torch

Item = TypeVar('Item')


class SampleKey(NamedTuple):
    """What a sampler hands to a data set: the image's index and the seed of its augmentation.

    An augmentation that depends on nothing but its key is the same in any worker process, on any rank and
    after a resume.
    """

    index: int  # type: ignore[assignment]  # the field hides tuple.index, which a key has no use for
    seed: int


def read_keys(read: Callable[[int], Item], keys: Iterable[int | SampleKey]) -> list[Item]:
    """Call `read` with the index of each key, in order, after seeding the global generators with its seed.

    Afterwards, and where `read` raises, the generators are as before. A plain index is read without seeding.
    """
    items: list[Item] = []
    # Saving the generators takes longer than reading an image from memory, so it is done once for a run of keys.
    for is_seeded, group in groupby(keys, key=lambda key: isinstance(key, SampleKey)):
        with generators_kept() if is_seeded else nullcontext():
            items += [_read_key(read, key) for key in group]
    return items


def _read_key(read: Callable[[int], Item], key: int | SampleKey) -> Item:
    if not isinstance(key, SampleKey):
        return read(key)
    seed_generators(key.seed)
    return read(key.index)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Restore Python's, NumPy's and PyTorch's (CPU) global generators at the end."""
    python_state = random.getstate()
    numpy_state = np.random.get_state()
    torch_state = torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)


def seed_generators(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's (CPU) global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed would reseed the CUDA generators too, which nothing restores.
    torch.default_generator.manual_seed(seed)
