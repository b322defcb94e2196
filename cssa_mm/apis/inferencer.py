"""mmpretrain's inferencers beside our loader: a path stays a path, so that it is decoded as in tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

from mmengine.dataset import default_collate
from mmpretrain.apis import FeatureExtractor, ImageClassificationInferencer, ImageRetrievalInferencer

from cssa_mm.apis.image_input import ImageLike, checked_order, decoded
from cssa_mm.datasets import LoadRGBImage

INFERENCERS = (ImageClassificationInferencer, FeatureExtractor, ImageRetrievalInferencer)


def give_paths_to_the_loader() -> None:
    """Let the inferencers hand paths to a pipeline that starts with our loader.

    They decode images to BGR themselves and put the pixels in the place of the path, for which the toolbox takes its
    own loader out of the pipeline; ours, which gives RGB, can't tell these pixels from RGB ones. Nor can it tell what
    an array in colour is: say it once as `inferencer.channel_order = 'rgb'` or `'bgr'`. Pipelines with another loader
    are left to the toolbox.
    """
    for inferencer in INFERENCERS:
        if not hasattr(inferencer.preprocess, 'keeps_paths'):
            inferencer.preprocess = _keeping_paths(inferencer.preprocess)


def _keeping_paths(original: Callable) -> Callable:
    @wraps(original)
    def preprocess(self: Any, inputs: Sequence, batch_size: int = 1) -> Iterator[dict]:
        steps = getattr(self.pipeline, 'transforms', ())
        if not steps or not isinstance(steps[0], LoadRGBImage):
            yield from original(self, inputs, batch_size)
            return
        order = checked_order(getattr(self, 'channel_order', None), allows_none=True)
        items = (self.pipeline(_item_of(each, steps[0], order)) for each in inputs)
        yield from map(default_collate, self._get_chunk_data(items, batch_size))

    preprocess.keeps_paths = True  # type: ignore[attr-defined]
    return preprocess


def _item_of(image: ImageLike, loader: LoadRGBImage, order: str | None) -> dict[str, Any]:
    if isinstance(image, str | os.PathLike):
        return dict(img_path=os.fspath(image))
    return dict(img=decoded(image, loader, order)[0])
