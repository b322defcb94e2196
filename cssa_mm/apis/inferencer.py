"""What mmpretrain's own inferencers do with our models: they give labels, and decode paths as tests do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

from mmengine.dataset import default_collate
from mmpretrain.apis import FeatureExtractor, ImageClassificationInferencer, ImageRetrievalInferencer
from modelindex.models.Model import Model

from cssa_mm.apis.cssa_inferencer import CSSAInferencer
from cssa_mm.apis.image_input import ImageLike, checked_order, decoded
from cssa_mm.apis.model_sources import is_ours
from cssa_mm.datasets import LoadRGBImage
from cssa_mm.errors import ConfigError
from cssa_mm.models import CSSAClassifier

TASK = 'Image Classification'  # as mmpretrain calls what its ImageClassificationInferencer does
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


def label_by_toolbox() -> None:
    """Let mmpretrain's `ImageClassificationInferencer` of a model of ours be a `CSSAInferencer`.

    This is the one place where its classes are changed for labels: `inference_model` makes an inferencer of this class
    for every model whose task in the metafile is image classification, and it would tell the argmax alone. A model that
    mmpretrain's hub did not build, such as that of `load_model`, has this task, too.
    """
    CSSAClassifier._metainfo = property(_metainfo, _set_metainfo)
    original = ImageClassificationInferencer.__init__
    if not hasattr(original, 'knows_labels'):
        ImageClassificationInferencer.__init__ = _choosing(original)
        ImageRetrievalInferencer.__init__ = _refusing(ImageRetrievalInferencer.__init__)


def _choosing(original: Callable) -> Callable:
    @wraps(original)  # inference_model reads the signature
    def init(self: Any, model: Any, *args: Any, **kwargs: Any) -> None:
        if type(self) is ImageClassificationInferencer and is_ours(model):
            self.__class__ = CSSAInferencer
            CSSAInferencer.__init__(self, model, *args, **kwargs)
        else:
            original(self, model, *args, **kwargs)

    init.knows_labels = True  # type: ignore[attr-defined]
    return init


def _refusing(original: Callable) -> Callable:
    @wraps(original)
    def init(self: Any, model: Any, *args: Any, **kwargs: Any) -> None:
        if is_ours(model):
            raise ConfigError(
                'ImageRetrievalInferencer: found a model that labels images, expected one that retrieves them; '
                "mmpretrain's FeatureExtractor gives the features of ours, to search by them"
            )
        original(self, model, *args, **kwargs)

    return init


def _metainfo(model: CSSAClassifier) -> Model:
    return model.__dict__.get('_of_the_hub') or Model(results=[dict(Task=TASK, Dataset='none', Metrics={})])


def _set_metainfo(model: CSSAClassifier, metainfo: Model | None) -> None:
    model.__dict__['_of_the_hub'] = metainfo
