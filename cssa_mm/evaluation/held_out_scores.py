"""Held-out scores of a run: what models that did not see the labels of an image say of it.

`held_out.npz` in the work directory, written after the last epoch by the hook that finds calibration and thresholds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cssa_mm.archives import read_arrays
from cssa_mm.errors import DataError
from cssa_mm.files import replacing

FILE = 'held_out.npz'


@dataclass(frozen=True)
class HeldOutScores:
    """Labels of h images and the scores that models give them which did not see these labels.

    Attributes:
        image_ids: of the h images.
        class_names: the C names.
        labels: int8 (h, C) in 1, 0, -1, as training had them.
        scores: float32 (h, C), calibrated, from 0 to 1.
    """

    image_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(
        cls, image_ids: Sequence[str], class_names: Sequence[str], labels: np.ndarray, scores: np.ndarray
    ) -> HeldOutScores:
        """Those of these arrays."""
        return cls(tuple(image_ids), tuple(class_names), labels.astype(np.int8), scores.astype(np.float32))

    def write(self, work_dir: str | os.PathLike) -> None:
        """Write them into a work directory, whole or not at all."""
        with replacing(Path(work_dir, FILE)) as partial:
            np.savez_compressed(
                partial,
                image_ids=np.array(self.image_ids, dtype=str),
                class_names=np.array(self.class_names, dtype=str),
                labels=self.labels,
                scores=self.scores,
            )


def forget_held_out(work_dir: str | os.PathLike) -> None:
    """Remove those of an earlier run."""
    Path(work_dir, FILE).unlink(missing_ok=True)


def read_held_out(work_dir: str | os.PathLike) -> HeldOutScores | None:
    """The held-out scores of a run; None if it has none.

    Raises:
        DataError: the file holds something else.
    """
    path = Path(work_dir, FILE)
    if not path.is_file():
        return None
    try:
        ids, names, labels, scores = read_arrays(path, 'image_ids', 'class_names', 'labels', 'scores')
    except ValueError as error:
        raise DataError(
            f'{path}: found no held-out scores ({error}), expected what a training wrote; train again'
        ) from error
    kinds = [array.dtype.kind for array in (ids, names, labels, scores)]
    if ids.ndim != 1 or names.ndim != 1 or {labels.shape, scores.shape} != {(len(ids), len(names))}:
        raise DataError(f'{path}: found arrays of unequal shapes, expected what a training wrote; train again')
    if kinds != ['U', 'U', 'i', 'f']:
        raise DataError(f'{path}: found arrays of other types, expected what a training wrote; train again')
    return HeldOutScores.of(ids.tolist(), names.tolist(), labels, scores)
