"""What training reads where features are kept: targets, side and id of an image, and no pixels."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.transforms import RandomFlip
from mmengine.dataset import Compose
from mmpretrain.datasets.transforms import PackInputs
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.utils.data import DataLoader

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.image_table import UNKNOWN
from cssa_mm.datasets.sample_key import SampleKey, generators_kept
from cssa_mm.features.cache import View
from cssa_mm.features.kept_views import strong_side

SHAPE = (3, 2, 2)  # of a placeholder
ITEMS = ('get_data_info', '__getitem__', '__getitems__')  # what makes the items of a data set
NUMBER = 'strong_view'  # which strong view a sample stands for, in its meta information


def without_images(pipeline: Compose, strong_views: int = 0) -> Compose:
    """The draw of a view, and the packing of a training pipeline, on a placeholder.

    The flip draws the same random numbers as that of the pipeline. With strong views, one of them is drawn in its
    place.
    """
    draws: list = [DrawnFlip(step.prob) for step in pipeline.transforms if isinstance(step, RandomFlip)]
    pack = copy.copy(pipeline.transforms[-1])
    if strong_views:
        draws = [DrawnView(strong_views)]
        pack.meta_keys = (*pack.meta_keys, NUMBER)
    return Compose([*draws, PackedTargets(pack)])


class DrawnFlip:
    """Draws whether training sees the mirror image, as `RandomFlip` with one direction does, in a tenth of its time."""

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, results: dict) -> dict:
        """Add whether it is mirrored."""
        # What np.random.choice does for two values.
        is_mirrored = bool(np.random.random_sample() < self.probability)
        return results | dict(flip=is_mirrored, flip_direction='horizontal' if is_mirrored else None)


class DrawnView:
    """Draws which of some strong views training sees, by the generator that its key has seeded."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, results: dict) -> dict:
        """Add the number."""
        return results | {NUMBER: int(np.random.randint(self.count))}


class KnownSample(NamedTuple):
    """What a step reads of an image, under the names that a packed sample has for it.

    gt_score: its labels (C,), float32.
    strong_view: the number of the strong view, if one stands for it.
    bad_image: why it could not be read.
    """

    image_id: str
    is_labelled: bool
    gt_score: Tensor
    flip: bool
    strong_view: int | None
    bad_image: str | None

    def get(self, name: str, default: Any = None) -> Any:
        """A field, as a packed sample gives it."""
        return getattr(self, name, default)


def known_samples(dataset: SemiMultiLabelDataset, keys: Sequence[SampleKey]) -> Sequence[KnownSample | DataSample]:
    """Samples of a data set whose pipeline is `without_images`: its own packed ones take five times as long.

    A subclass that makes items of its own gives its packed ones.
    """
    if any(getattr(type(dataset), name) is not getattr(SemiMultiLabelDataset, name) for name in ITEMS):
        return [item['data_samples'] for item in dataset.__getitems__(keys)]
    *draws, _ = dataset.pipeline.transforms
    labels = torch.as_tensor(dataset.labels[[key.index for key in keys]], dtype=torch.float32)
    reasons = {} if dataset.bad_images is None else dataset.bad_images.reasons
    samples = []
    with generators_kept():
        for key, row in zip(keys, labels, strict=True):
            drawn: dict = {}
            np.random.seed(key.seed)  # what is drawn here is drawn by NumPy alone
            for draw in draws:
                drawn = draw(drawn)
            name, is_labelled = dataset.image_ids[key.index], bool(dataset.is_labelled[key.index])
            reason = reasons.get(name)
            if reason is not None:
                row[:] = UNKNOWN
            samples.append(KnownSample(name, is_labelled, row, drawn.get('flip', False), drawn.get(NUMBER), reason))
    return samples


class KnownOrRead:
    """A pipeline for images whose features are kept, and another one for all others."""

    def __init__(self, ids: Collection[str], known: Compose, read: Compose) -> None:
        self.ids = frozenset(ids)
        self.known = known
        self.read = read

    def __call__(self, results: dict) -> dict | None:
        """The item of an image."""
        return (self.known if results['image_id'] in self.ids else self.read)(results)


def view_of_sample(sample: DataSample | KnownSample) -> View:
    """The view that training has drawn for a sample."""
    number = sample.get(NUMBER)
    return (sample.image_id, bool(sample.flip)) if number is None else (sample.image_id, *strong_side(number))


def read_in_this_process(loader: DataLoader) -> None:
    """Let a loader that has not begun make its batches without workers: to send them would take longer."""
    loader.num_workers = 0
    loader.timeout = 0  # that of workers


class PackedTargets:
    """Packs all but the pixels, for which a placeholder stands.

    Args:
        pack: of the pipeline.
    """

    def __init__(self, pack: PackInputs) -> None:
        self.pack = pack

    def __call__(self, results: dict) -> dict[str, DataSample | Tensor]:
        """The item."""
        shape = dict(img_shape=SHAPE[1:], ori_shape=SHAPE[1:])
        known = {key: value for key, value in results.items() if key != self.pack.input_key}
        return dict(inputs=torch.zeros(SHAPE, dtype=torch.uint8), **self.pack(known | shape))
