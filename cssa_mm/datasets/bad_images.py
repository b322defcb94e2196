"""Training images that can't be read: each becomes a neutral item that is flagged and contributes nothing.

No other image takes its place, so the order of the others, their views and all later random draws stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from mmengine import dist

from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.images.decoding import MEAN_COLOUR
from cssa_mm.errors import DataError, ImageError

FLAG = 'bad_image'  # the reason, in the meta information of a packed sample


class BadImages:
    """The bad images of a training set that this process knows, by image id.

    A data set whose ``bad_images`` is one of these turns bad images into neutral items: every label unknown, a
    picture of the mean colour, the reason under ``FLAG``. A worker process has a copy of its own, so the flag
    travels with the item, and :meth:`note` collects it here. Light copies of a data set share it.

    Args:
        shape: Height and width of the neutral picture before the pipeline resizes it.
    """

    def __init__(self, shape: tuple[int, int] = (224, 224)) -> None:
        self.shape = shape
        self.reasons: dict[str, str] = {}

    def item(self, pipeline: Callable[[dict], dict | None], info: dict) -> dict | None:
        """The item of ``info`` through ``pipeline``, or its neutral one where the image can't be read.

        An image that was bad once is not tried again.
        """
        reason = self.reasons.get(info['image_id'])
        if reason is None:
            try:
                return pipeline(dict(info))  # a copy: transforms write into it before one of them fails
            except ImageError as error:
                reason = reason_of(error, info['img_path'])
        return _flagged(pipeline(self._neutral(info)), reason)

    def note(self, samples: Iterable[Any]) -> None:
        """Remember the bad images among packed samples, or plain items, that a loader returned."""
        for sample in samples:
            reason = sample.get(FLAG)
            if reason is not None:
                self.reasons.setdefault(sample.get('image_id'), reason)

    def share(self) -> None:
        """Share the known bad images between all ranks; every rank must call it."""
        for reasons in dist.all_gather_object(self.reasons):
            for image_id, reason in reasons.items():
                self.reasons.setdefault(image_id, reason)

    def among(self, image_ids: Iterable[str]) -> np.ndarray:
        """Which of n images are bad, bool (n,)."""
        return np.array([image_id in self.reasons for image_id in image_ids], dtype=bool)

    def _neutral(self, info: dict) -> dict:
        labels = np.full_like(info['gt_score'], UNKNOWN)
        picture = np.full((*self.shape, 3), MEAN_COLOUR, dtype=np.uint8)
        return info | dict(img=picture, gt_score=labels, gt_label=np.flatnonzero(labels == 1))


def reason_of(error: DataError, path: str) -> str:
    """What is wrong with the image, without its path and the advice."""
    return str(error).removeprefix(f'{path}: ').split(', expected')[0]


def _flagged(item: dict | None, reason: str) -> dict | None:
    samples = item.get('data_samples') if item is not None else None
    if samples is not None:
        samples.set_metainfo({FLAG: reason})
    elif item is not None:
        item[FLAG] = reason
    return item
