"""One predicted image, as shards keep it and writers write it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class PredictedImage(NamedTuple):
    """The prediction of one image.

    name: how tables name it: its path below the folder that was predicted, with '/'.
    path: where the file is.
    labels: names of the classes that it got, in the order of the classes.
    scores: float32 (C,), calibrated.
    raw_scores: float32 (C,), before calibration.
    """

    name: str
    path: str
    labels: tuple[str, ...]
    scores: np.ndarray
    raw_scores: np.ndarray


class Counts(NamedTuple):
    """The numbers of images, of those without label, and of those with each label."""

    images: int
    without_label: int
    labels: Counter[str]


def count(rows: Iterable[PredictedImage]) -> Counts:
    """Count images and their labels."""
    images = without_label = 0
    labels: Counter[str] = Counter()
    for row in rows:
        images += 1
        without_label += not row.labels
        labels.update(row.labels)
    return Counts(images, without_label, labels)
