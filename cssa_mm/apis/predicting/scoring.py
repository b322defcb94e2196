"""Read images chunk by chunk, while other processes decode the next ones; what is read are scores in most cases."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from cssa_mm.apis.predicting.loading import Loaded, Task, load
from cssa_mm.apis.predicting.shards import Shard
from cssa_mm.apis.predicting.sources import ImageList
from cssa_mm.apis.scorer import Scorer
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


def scored(
    scorer: Scorer, images: ImageList, missing: np.ndarray, *, shard_size: int, batch_size: int, workers: int
) -> Generator[tuple[np.ndarray, Shard], None, None]:
    """Score images, and show progress on stderr: the positions and the content of each shard.

    No batch reaches over two shards: so the scores of a shard are the same after a kill.

    Args:
        scorer: the model.
        images: the list.
        missing: positions in it, those of the images to score.
        shard_size: images of a shard.
        batch_size: images scored at a time; fewer where images have other sizes.
        workers: processes that decode.

    Raises:
        ConfigError: the memory of the device is too small.
        DataError: a worker was stopped.
    """
    read = read_in_chunks(
        scorer,
        scorer.view,
        images,
        missing,
        widths=[len(scorer.class_names)] * 2,
        chunk_size=shard_size,
        batch_size=batch_size,
        workers=workers,
        description='Predicting',
        total=len(images),
    )
    with closing(read):
        for chunk, read_images in read:
            yield chunk, Shard(read_images.names, read_images.facts, read_images.reasons, *read_images.values)


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
    total: int | None = None,
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
        total: images that there are, with those that are read already; by default there are none.

    Raises:
        ConfigError: the memory of the device is too small.
        DataError: a worker was stopped.
    """
    if not positions.size:
        return
    chunks = [positions[start : start + chunk_size] for start in range(0, len(positions), chunk_size)]
    tasks = (
        Task(batch.tolist(), [images.path(position) for position in batch])
        for chunk in chunks
        for batch in np.split(chunk, range(batch_size, len(chunk), batch_size))
    )
    total = len(positions) if total is None else total
    interval = 0.2 if sys.stderr.isatty() else 30  # seconds; a log file gets a line now and then
    bar = tqdm(desc=description, total=total, initial=total - len(positions), unit='image', mininterval=interval)
    with closing(load(tasks, view, workers)) as loaded, bar:
        for chunk in chunks:
            found = ReadImages([], [], [], [np.full((len(chunk), width), np.nan, np.float32) for width in widths])
            for batch in islice(loaded, -(-len(chunk) // batch_size)):
                _fill(found, images, batch, of_pixels)
                bar.update(len(batch.positions))
            yield chunk, found


def _fill(found: ReadImages, images: ImageList, batch: Loaded, of_pixels: OfPixels) -> None:
    start = len(found.names)
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
                batch.reasons[row] = reason_of(error, 'image')
            continue
        places = start + np.asarray(rows)
        for array, of_batch in zip(found.values, values, strict=True):
            array[places] = of_batch
    found.names.extend(images.names[position] for position in batch.positions)
    found.facts.extend(batch.facts)
    found.reasons.extend(batch.reasons)
