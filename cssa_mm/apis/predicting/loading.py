"""Decode images in other processes while the tower works, in batches of equal sizes; bad images come as reasons."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from cssa_mm.apis.image_input import viewed
from cssa_mm.apis.predicting.sources import facts_of
from cssa_mm.datasets.bad_images import reason_of
from cssa_mm.datasets.view import View
from cssa_mm.datasets.workers import WorkerStart, num_cores
from cssa_mm.errors import DataError, ImageError

AHEAD = 4  # batches that a worker decodes in advance
MOST_WORKERS = 16


class Task(NamedTuple):
    """A batch of images to load: their positions in the list, and their paths."""

    positions: Sequence[int]
    paths: Sequence[str]


class Group(NamedTuple):
    """Images of one size: their rows in the batch, and their pixels, uint8 (B, 3, H, W)."""

    rows: list[int]
    pixels: np.ndarray


class Loaded(NamedTuple):
    """A loaded batch.

    positions: of its images in the list.
    facts: of the files as they were read; see `facts_of`.
    reasons: why an image is bad; '' for a good one.
    groups: the good ones, by size.
    """

    positions: Sequence[int]
    facts: list[str]
    reasons: list[str]
    groups: list[Group]


def load(tasks: Iterable[Task], view: View, workers: int) -> Generator[Loaded, None, None]:
    """Load batches of images in their order.

    The workers hold no list of images: each batch brings its own paths. They end with this process. Pixels come through
    pipes: shared memory is small in many containers.

    Args:
        tasks: the batches.
        view: how an image file becomes pixels.
        workers: processes that decode; 0 decodes in this one.

    Raises:
        DataError: a worker was killed, as happens where memory is short.
    """
    loader: DataLoader[Loaded] = DataLoader(
        _Images(view),
        sampler=_Tasks(tasks),
        batch_size=None,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # the caller's random numbers stay as they are
        num_workers=workers,
        worker_init_fn=WorkerStart(),
        prefetch_factor=AHEAD if workers else None,
    )
    try:
        yield from loader
    except MemoryError as error:
        raise DataError(
            f'images: {" ".join(str(error).split())[-200:]}; memory ran out: give fewer --workers'
        ) from error
    except RuntimeError as error:
        if 'DataLoader worker' not in str(error):
            raise
        raise DataError(
            f'workers: found that one was stopped ({str(error).splitlines()[0]}), expected that it decodes to the end; '
            'run again, with fewer --workers if memory is short'
        ) from error


def load_batch(task: Task, view: View) -> Loaded:
    """Load one batch of images, by a view, in this process."""
    facts, reasons = [], []
    sizes: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
    for row, path in enumerate(task.paths):
        facts.append(facts_of(path))
        reason = ''
        try:
            pixels = viewed(path, view)[0].numpy()
            sizes.setdefault(pixels.shape, []).append((row, pixels))
        except ImageError as error:
            reason = reason_of(error, path)
        except Exception as error:  # of storages behind addresses, which raise what they like
            if '://' not in path:
                raise
            reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
        reasons.append(reason)
    groups = [Group([row for row, _ in members], np.stack([p for _, p in members])) for members in sizes.values()]
    return Loaded(task.positions, facts, reasons, groups)


def default_workers(is_cpu: bool) -> int:
    """The number of processes that decode: the cores of this process; half of them where the tower needs them, too."""
    cores = num_cores()
    return max(1, min(MOST_WORKERS, cores // 2 if is_cpu else cores))


def _as_it_is(batch: Any) -> Any:
    return batch


class _Tasks:
    """What a DataLoader takes for a sampler: it hands each item on to a worker."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self.tasks = tasks

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)


class _Images(Dataset):
    """Loads whole batches."""

    def __init__(self, view: View) -> None:
        self.view = view

    def __getitem__(self, task: Task) -> Loaded:
        return load_batch(task, self.view)
