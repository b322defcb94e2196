"""How long the work takes on this machine, and what it keeps: a few photos are encoded, the rest is arithmetic."""

from __future__ import annotations

import math
import time

import numpy as np
from mmengine.config import Config

from cssa_mm.apis.predicting.loading import default_workers
from cssa_mm.apis.predicting.sources import ImageList
from cssa_mm.apis.predictor import Predictor
from cssa_mm.apis.scorer import Scorer, TorchScorer
from cssa_mm.errors import DataError
from cssa_mm.features.plan import GIB

USUAL_SIDE, BYTES = 224, 4  # of a view that keeps the sizes of photos; of a number
SAMPLE = 8  # photos that are timed, after as many that are not
# A step from kept features, in seconds on one core of 2020s, per class and image of the batch: for estimates alone.
STEP_SECONDS, CELL_SECONDS = 0.02, 2e-5


def seconds_per_photo(scorer: Scorer, images: ImageList) -> float:
    """Seconds to read and encode a photo in this process; nan if no photo of a sample can be read."""
    predictor = Predictor(scorer, batch_size=SAMPLE)
    paths = [images.path(row) for row in range(min(len(images), 2 * SAMPLE))]
    try:
        list(predictor.predict(paths[:SAMPLE]))  # the first batch pays for the start
        timed = paths[SAMPLE:] or paths
        start = time.perf_counter()
        list(predictor.predict(timed))
    except DataError:  # unreadable photos are named where they matter, not by an estimate
        return math.nan
    return (time.perf_counter() - start) / len(timed)


def gib_of_features(scorer: TorchScorer, images: int) -> float:
    """GiB of the features of so many photos, two views of each, as a training keeps them; see `FeatureStore`."""
    size = scorer.facts()['input_size'] or (USUAL_SIDE, USUAL_SIDE)
    found = scorer.features_of(np.zeros((*size, 3), np.uint8))
    return 2 * images * sum(tensor.numel() for tensor in found) * BYTES / GIB


def seconds_of_reading(photos: int, pace: float, is_cpu: bool) -> float:
    """Seconds to predict photos: with a GPU, the processes that decode share the work."""
    return photos * pace / (1 if is_cpu else max(1, default_workers(is_cpu=False)))


def seconds_of_training(
    config: Config, images: int, labelled: int, classes: int, pace: float, is_encoded: bool = False
) -> float:
    """Seconds of a training: two views of each photo are encoded, unless they are known; then steps on features."""
    train, loader = config.train_cfg, config.train_dataloader
    batch, share = loader.batch_size, loader.sampler.labelled_per_batch
    steps = train.warmup_epochs * math.ceil(labelled / batch)
    steps += train.semi_epochs * math.ceil(max(images - labelled, 1) / max(batch - share, 1))
    trainings = 1 + (config.default_hooks.get('calibration') or {}).get('folds', 0)
    encoding = 0.0 if is_encoded else 2 * images * pace
    return encoding + trainings * steps * (STEP_SECONDS + CELL_SECONDS * batch * classes)


def in_words(seconds: float) -> str:
    """A duration for people: 'about 20 seconds', 'about 3 minutes'.

    >>> in_words(47), in_words(200), in_words(9000)
    ('about 50 seconds', 'about 3 minutes', 'about 2.5 hours')
    """
    if not math.isfinite(seconds):
        return 'unknown: no photo of the sample could be read'
    if seconds < 90:
        return f'about {max(10, round(seconds / 10) * 10)} seconds'
    if seconds < 5400:
        return f'about {round(seconds / 60)} minutes'
    return f'about {seconds / 3600:.1f} hours'
