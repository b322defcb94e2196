"""Read images chunk by chunk, while other processes decode the next ones; what is read are scores in most cases."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cssa_mm.apis.predicting.loading import Loaded, Task, load
from cssa_mm.apis.predicting.shards import Shard
from cssa_mm.apis.predicting.sources import ImageList
from cssa_mm.datasets.bad_images import reason_of
from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError, DataError

OfPixels = Callable[[Tensor], Sequence[np.ndarray]]


class ReadImages(NamedTuple):
    """What was read in n images.

    names: as the list of images has them.
    facts: of the files as they were read; see `facts_of`.
    reasons: why an image is bad; '' for a good one.
    values: float32 arrays (n, width); nan for a bad image.
    """

    names: list[str]
    facts: list[str]
    reasons: list[str]
    values: list[np.ndarray]


class ReadBatch(NamedTuple):
    """What was read in a batch of B images.

    positions: of the images in the list.
    facts: of the files as they were read; see `facts_of`.
    reasons: why an image is bad; '' for a good one.
    values: float32 arrays (B, width); nan for a bad image.
    """

    positions: Sequence[int]
    facts: list[str]
    reasons: list[str]
    values: list[np.ndarray]


Read = Callable[[Iterable[Task]], Generator[ReadBatch, None, None]]  # reads batches, in their order


def scored(
    read: Read, num_classes: int, images: ImageList, missing: np.ndarray, *, shard_size: int, batch_size: int
) -> Generator[tuple[np.ndarray, Shard], None, None]:
    """Score images, and show progress on stderr: the positions and the content of each shard.

    No batch reaches over two shards: so the scores of a shard are the same after a kill.

    Args:
        read: scores batches, here (`read_here`) or elsewhere; the values are scores and raw scores (B, C).
        num_classes: C.
        images: the list.
        missing: positions in it, those of the images to score.
        shard_size: images of a shard.
        batch_size: images scored at a time; fewer where images have other sizes.

    Raises: what `read` raises.
    """
    chunks = _in_chunks(
        read,
        images,
        missing,
        widths=[num_classes] * 2,
        chunk_size=shard_size,
        batch_size=batch_size,
        description='Predicting',
        total=len(images),
    )
    with closing(chunks):
        for chunk, found in chunks:
            yield chunk, Shard(found.names, found.facts, found.reasons, *found.values)


def read_here(
    tasks: Iterable[Task], of_pixels: OfPixels, view: View, *, widths: Sequence[int], workers: int
) -> Generator[ReadBatch, None, None]:
    """Read batches of images in this process, while others decode the next ones.

    Args:
        tasks: the batches.
        of_pixels: arrays (B, width) of pixels, uint8 (B, 3, H, W), a width each.
        view: how an image file becomes pixels.
        widths: of the arrays.
        workers: processes that decode.

    Raises:
        ConfigError: the memory of the device is too small.
        DataError: a worker was stopped.
    """
    with closing(load(tasks, view, workers)) as loaded:
        for batch in loaded:
            yield read_batch(batch, of_pixels, widths)


def read_batch(batch: Loaded, of_pixels: OfPixels, widths: Sequence[int]) -> ReadBatch:
    """Read a loaded batch by a function of pixels.

    Raises:
        ConfigError: the memory of the device is too small.
    """
    reasons = list(batch.reasons)
    found = [np.full((len(reasons), width), np.nan, np.float32) for width in widths]
    for rows, pixels in batch.groups:
        try:
            values = of_pixels(torch.from_numpy(pixels))
        except torch.cuda.OutOfMemoryError as error:
            raise ConfigError(
                f'batch_size: found {len(pixels)} images of {pixels.shape[2]} x {pixels.shape[3]}, for which the '
                'memory of the device is too small, expected fewer; give a smaller --batch-size, and run again'
            ) from error
        except DataError as error:  # of a size that the tower cannot take: a small icon among the photos
            for row in rows:
                reasons[row] = reason_of(error, 'image')
            continue
        for array, of_group in zip(found, values, strict=True):
            array[rows] = of_group
    return ReadBatch(batch.positions, batch.facts, reasons, found)


def read_in_chunks(
    of_pixels: OfPixels,
    view: View,
    images: ImageList,
    positions: np.ndarray,
    *,
    widths: Sequence[int],
    chunk_size: int,
    batch_size: int,
    workers: int,
    description: str,
) -> Generator[tuple[np.ndarray, ReadImages], None, None]:
    """Read images by a function of their pixels, and show progress on stderr: positions and content of each chunk.

    Args:
        of_pixels: arrays (B, width) of pixels, uint8 (B, 3, H, W), a width each.
        view: how an image file becomes pixels.
        images: the list.
        positions: in it, those of the images to read.
        widths: of the arrays.
        chunk_size: images of a chunk; no batch reaches over two.
        batch_size: images read at a time; fewer where images have other sizes.
        workers: processes that decode.
        description: what stands before the progress.

    Raises:
        ConfigError: the memory of the device is too small.
        DataError: a worker was stopped.
    """
    read = partial(read_here, of_pixels=of_pixels, view=view, widths=widths, workers=workers)
    yield from _in_chunks(
        read,
        images,
        positions,
        widths=widths,
        chunk_size=chunk_size,
        batch_size=batch_size,
        description=description,
        total=len(positions),
    )


def _in_chunks(
    read: Read,
    images: ImageList,
    positions: np.ndarray,
    *,
    widths: Sequence[int],
    chunk_size: int,
    batch_size: int,
    description: str,
    total: int,
) -> Generator[tuple[np.ndarray, ReadImages], None, None]:
    if not positions.size:
        return
    chunks = [positions[start : start + chunk_size] for start in range(0, len(positions), chunk_size)]
    tasks = (
        Task(batch.tolist(), [images.path(position) for position in batch])
        for chunk in chunks
        for batch in np.split(chunk, range(batch_size, len(chunk), batch_size))
    )
    interval = 0.2 if sys.stderr.isatty() else 30  # seconds; a log file gets a line now and then
    bar = tqdm(desc=description, total=total, initial=total - len(positions), unit='image', mininterval=interval)
    with closing(read(tasks)) as batches, bar:
        for chunk in chunks:
            found = ReadImages([], [], [], [np.empty((len(chunk), width), np.float32) for width in widths])
            came: list[int] = []
            for batch in islice(batches, -(-len(chunk) // batch_size)):
                came += batch.positions
                rows = slice(len(found.names), len(found.names) + len(batch.positions))
                for array, of_batch in zip(found.values, batch.values, strict=True):
                    array[rows] = of_batch
                found.names.extend(images.names[position] for position in batch.positions)
                found.facts.extend(batch.facts)
                found.reasons.extend(batch.reasons)
                bar.update(len(batch.positions))
            if came != chunk.tolist():
                raise DataError(
                    f'images: found {len(came)} that came back from the workers, expected {len(chunk)} in their order; '
                    'finished shards are kept, so run the same command again'
                )
            yield chunk, found
