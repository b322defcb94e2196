"""One predicted image, as shards keep it and writers write it."""

from __future__ import annotations

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
