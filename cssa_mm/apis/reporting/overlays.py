"""Where the model looked for the labels of the images in a report, as `cssa explain` draws it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.errors import CSSAError
from cssa_mm.features.label_maps import LabelMaps, label_maps, label_text
from cssa_mm.models import CSSAClassifier

SIDE = 160  # pixels of the longer side
MOST = 3  # labels of an image that get a picture: those that are shown first


class Overlays:
    """Pictures of an image with the map of a label over it, for images that come one after the other.

    Args:
        model: with label attention, in eval mode.
        dataset: of the images.
    """

    def __init__(self, model: CSSAClassifier, dataset: SemiMultiLabelDataset) -> None:
        self.model = model
        self.dataset = dataset
        self.scorer = TorchScorer(model)
        self.text = label_text(model)
        self._index = -1
        self._given = 0
        self._image: np.ndarray | None = None
        self._maps: LabelMaps | None = None

    def __call__(self, index: int, class_index: int) -> Image.Image | None:
        """The picture of an image of the data set and a class; None of further labels, and of unreadable images."""
        from cssa_mm.visualization.explanation import blend  # imports matplotlib

        if index != self._index:
            self._index, self._given = index, 0
            self._read(index)
        if self._maps is None or self._image is None or self._given == MOST:
            return None
        self._given += 1
        return Image.fromarray(blend(self._image, self._maps.of(0, class_index).spread(self._image.shape)))

    def _read(self, index: int) -> None:
        path, view = self.dataset.img_paths[index], self.scorer.view
        self._image = self._maps = None
        try:
            image = view.decode(self.dataset.read_bytes(path, 'an image'), path)
        except CSSAError:  # the gallery shows the image as unreadable
            return
        viewed = view.of_image(image)
        local, _ = self.scorer.features_of(viewed)
        self._maps = label_maps(self.model, local, self.text, viewed.shape[:2])
        small = Image.fromarray(image)
        small.thumbnail((SIDE, SIDE))
        self._image = np.asarray(small, np.float64)


def overlays_of(model: CSSAClassifier | None, dataset: SemiMultiLabelDataset | None) -> Overlays | None:
    """The overlays of a run; None for a model that looks nowhere in particular, or without images."""
    if model is None or dataset is None or not model.head.label_specific:
        return None
    return Overlays(model, dataset)
