"""The views of an image that can be kept: the plain one, its mirror image, and strong ones that are drawn once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from mmpretrain.datasets.transforms import PackInputs

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.view import View as PlainView
from cssa_mm.errors import ConfigError
from cssa_mm.features.cache import Features, View
from cssa_mm.features.encode import encode
from cssa_mm.features.options import WHERE
from cssa_mm.features.view import META_KEYS
from cssa_mm.models import CSSAClassifier

Side = tuple
PLAIN: Side = (False,)
MIRRORED: Side = (True,)


def strong_side(number: int) -> Side:
    """The side of a strong view."""
    return ('strong', number)


class Part(NamedTuple):
    """One view of some images of a data set."""

    indices: np.ndarray
    side: Side = PLAIN

    def views(self, dataset: SemiMultiLabelDataset) -> list[View]:
        """Their names in the cache."""
        return [(dataset.image_ids[i], *self.side) for i in self.indices]

    @property
    def description(self) -> str:
        """What a progress bar says."""
        if self.side in (PLAIN, MIRRORED):
            return 'Encoding mirrored views' if self.side == MIRRORED else 'Encoding plain views'
        return f'Encoding strong views {self.side[1] + 1}'


def encode_part(
    model: CSSAClassifier,
    dataset: SemiMultiLabelDataset,
    view: PlainView,
    part: Part,
    *,
    shows_progress: bool = True,
    **loader: Any,
) -> Iterator[Features]:
    """Features of the views of a part, batch by batch, in order; see `encode`."""
    if part.side in (PLAIN, MIRRORED):
        loader |= dict(mirrored=part.side == MIRRORED)
    else:
        seeds = [strong_seed(dataset.image_ids[i], part.side[1]) for i in part.indices]
        loader |= dict(pipeline=strong_pipeline(dataset), seeds=seeds)
    return encode(model, dataset, part.indices, view, part.description if shows_progress else '', **loader)


def strong_pipeline(dataset: SemiMultiLabelDataset) -> list:
    """The training pipeline, packed as a view that is encoded.

    Raises:
        ConfigError: the pipeline does not end with PackInputs.
    """
    *steps, last = dataset.pipeline.transforms
    if not isinstance(last, PackInputs):
        raise ConfigError(
            f'{WHERE}.strong_views: found a training pipeline that ends with {type(last).__name__}, expected '
            'PackInputs at its end; set strong_views=0'
        )
    return [*steps, dict(type='PackInputs', meta_keys=META_KEYS)]


def strong_seed(image_id: str, number: int) -> int:
    """The seed of a strong view: that of the image, whatever the run, so that runs share it."""
    return int.from_bytes(hashlib.sha256(json.dumps([image_id, number]).encode()).digest()[:4], 'big') >> 1


def description_of(step: Any) -> Any:
    """Plain data that tell a transform with its options from others; the library's own forms leave some out."""
    if step is None or isinstance(step, str | int | float | bool):
        return step
    if isinstance(step, PlainView):
        return step.as_config()
    if isinstance(step, dict):
        return {str(key): description_of(value) for key, value in step.items()}
    if isinstance(step, list | tuple):
        return [description_of(item) for item in step]
    if isinstance(step, np.ndarray | np.generic):
        return step.tolist()
    if hasattr(step, '__qualname__'):  # a function or a class
        return f'{step.__module__}.{step.__qualname__}'
    return [description_of(type(step)), description_of(vars(step)) if hasattr(step, '__dict__') else repr(step)]
