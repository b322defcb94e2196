"""What training reads where features are kept: targets, side and id of an image, and no pixels."""

from __future__ import annotations

import copy
from collections.abc import Collection

import numpy as np
from mmcv.transforms import RandomFlip
from mmengine.dataset import Compose
from mmpretrain.datasets.transforms import PackInputs
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from cssa_mm.features.cache import View
from cssa_mm.features.kept_views import strong_side

NUMBER = 'strong_view'  # which strong view a sample stands for, in its meta information


def without_images(pipeline: Compose, strong_views: int = 0) -> Compose:
    """The draw of a view, and the packing of a training pipeline, on a placeholder.

    The flip draws the same random numbers as that of the pipeline. With strong views, one of them is drawn in its
    place.
    """
    if not strong_views:
        steps = [step for step in pipeline.transforms if isinstance(step, RandomFlip | PackInputs)]
        return Compose([_placeholder, *steps])
    pack = copy.copy(pipeline.transforms[-1])
    pack.meta_keys = (*pack.meta_keys, NUMBER)
    return Compose([_placeholder, DrawnView(strong_views), pack])


class DrawnView:
    """Draws which of some strong views training sees, by the generator that its key has seeded."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, results: dict) -> dict:
        """Add the number."""
        return results | {NUMBER: int(np.random.randint(self.count))}


class KnownOrRead:
    """A pipeline for images whose features are kept, and another one for all others."""

    def __init__(self, ids: Collection[str], known: Compose, read: Compose) -> None:
        self.ids = frozenset(ids)
        self.known = known
        self.read = read

    def __call__(self, results: dict) -> dict | None:
        """The item of an image."""
        return (self.known if results['image_id'] in self.ids else self.read)(results)


def view_of_sample(sample: DataSample) -> View:
    """The view that training has drawn for a sample."""
    number = sample.get(NUMBER)
    return (sample.image_id, bool(sample.flip)) if number is None else (sample.image_id, *strong_side(number))


def read_in_this_process(loader: DataLoader) -> None:
    """Let a loader that has not begun make its batches without workers: to send them would take longer."""
    loader.num_workers = 0
    loader.timeout = 0  # that of workers


def _placeholder(results: dict) -> dict:
    # 2 x 2: a mirrored single pixel counts as contiguous, and torch refuses its negative stride.
    return results | dict(img=np.zeros((2, 2, 3), np.uint8), img_shape=(2, 2), ori_shape=(2, 2))
