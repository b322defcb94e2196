"""Score images shard by shard, while other processes decode the next ones."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing
from itertools import islice

import numpy as np
import torch
from tqdm import tqdm

from cssa_mm.apis.predicting.loading import Loaded, Task, load
from cssa_mm.apis.predicting.shards import Shard
from cssa_mm.apis.predicting.sources import ImageList
from cssa_mm.apis.scorer import Scorer
from cssa_mm.datasets.bad_images import reason_of
from cssa_mm.errors import ConfigError, DataError


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
    if not missing.size:
        return
    chunks = [missing[start : start + shard_size] for start in range(0, len(missing), shard_size)]
    tasks = (
        Task(batch.tolist(), [images.path(position) for position in batch])
        for chunk in chunks
        for batch in np.split(chunk, range(batch_size, len(chunk), batch_size))
    )
    interval = 0.2 if sys.stderr.isatty() else 30  # seconds; a log file gets a line now and then
    with (
        closing(load(tasks, scorer.view, workers)) as loaded,
        tqdm(
            desc='Predicting', total=len(images), initial=len(images) - len(missing), unit='image', mininterval=interval
        ) as bar,
    ):
        for chunk in chunks:
            shard = _empty(len(chunk), len(scorer.class_names))
            for batch in islice(loaded, -(-len(chunk) // batch_size)):
                _fill(shard, images, batch, scorer)
                bar.update(len(batch.positions))
            yield chunk, shard


def _empty(rows: int, classes: int) -> Shard:
    scores = np.full((2, rows, classes), np.nan, np.float32)
    return Shard([], [], [], scores[0], scores[1])


def _fill(shard: Shard, images: ImageList, batch: Loaded, scorer: Scorer) -> None:
    start = len(shard.names)
    for rows, pixels in batch.groups:
        try:
            scores = scorer(torch.from_numpy(pixels))
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
        shard.scores[places], shard.raw_scores[places] = scores
    shard.names.extend(images.names[position] for position in batch.positions)
    shard.facts.extend(batch.facts)
    shard.reasons.extend(batch.reasons)
