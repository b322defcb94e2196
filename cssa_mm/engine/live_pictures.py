"""Pictures of the same few images again and again while a model learns: what is true, what it says, where it looks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.engine.picture_hook import PictureNames
from cssa_mm.errors import CSSAError
from cssa_mm.features.explaining import SeenImage, calibrated_scores, explanation_of, reduced
from cssa_mm.features.label_maps import label_text
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.eval_mode import in_eval_mode
from cssa_mm.visualization.explanation_figure import explanation_figure
from cssa_mm.visualization.style import figure_pixels


class LivePictures:
    """Explains some images of a data set by a model as it is. The frozen tower sees them once, when this is made.

    Args:
        model: with label attention; it may be in training.
        dataset: of the images. One that can't be read is left out, and a warning names it.
        indices: of the images.
        num_labels: the most labels of a picture.
    """

    def __init__(
        self, model: CSSAClassifier, dataset: SemiMultiLabelDataset, indices: Sequence[int], num_labels: int
    ) -> None:
        self.model = model
        self.num_labels = num_labels
        self.images: list[tuple[str, SeenImage, np.ndarray]] = []
        names = PictureNames()
        for index in indices:
            try:
                seen = _seen(model, dataset, index)
            except CSSAError as error:
                print_log(f'Live view: no picture of an image: {error}', 'current', logging.WARNING)
                continue
            self.images.append((names.of(dataset.img_paths[index]), seen, np.asarray(dataset.labels[index])))

    def draw(self) -> list[tuple[str, np.ndarray]]:
        """Name and picture, uint8 (H, W, 3), RGB, of each image."""
        with torch.no_grad(), in_eval_mode(self.model):
            text = label_text(self.model)
            return [(name, self._picture(seen, labels, text)) for name, seen, labels in self.images]

    def _picture(self, seen: SeenImage, labels: np.ndarray, text: Tensor) -> np.ndarray:
        """An image with labels (C,) in 1, 0, -1: its true labels first, then those that are predicted."""
        model = self.model
        scores = calibrated_scores(model, seen)
        is_true, is_reached = labels == 1, model.thresholds.reached(scores[None])[0]
        is_shown = is_true | is_reached
        order = np.lexsort((-scores, ~is_true, ~is_shown))
        chosen = order[: min(self.num_labels, max(1, int(is_shown.sum())))].tolist()
        # A label that is neither true nor predicted is no error: it is shown where there is no other.
        known = tuple(None if labels[c] == -1 or not is_shown[c] else bool(is_true[c]) for c in chosen)
        explanation = replace(explanation_of(model, seen, scores, chosen, text), is_true=known)
        return figure_pixels(explanation_figure(explanation, [model.class_names[c] for c in np.flatnonzero(is_true)]))


def varied_images(labels: np.ndarray, count: int, seed: int = 0) -> list[int]:
    """Rows of up to `count` images, drawn by a seed.

    Args:
        labels: (n, C) in 1, 0, -1.
        count: of the images.
        seed: of the draw; images that show a class which none before them shows come first.
    """
    shown = np.zeros(labels.shape[1], bool)
    first: list[int] = []
    others: list[int] = []
    for index in np.random.default_rng(seed).permutation(len(labels)).tolist():
        is_positive = labels[index] == 1
        (first if (is_positive & ~shown).any() else others).append(index)
        shown |= is_positive
    return [*first, *others][:count]


@torch.no_grad()
def _seen(model: CSSAClassifier, dataset: SemiMultiLabelDataset, index: int) -> SeenImage:
    """An image as the tower sees it, read without a loader, which would draw random numbers."""
    path, view = dataset.img_paths[index], model_view(model)
    image = view.decode(dataset.read_bytes(path, 'an image'), path)
    viewed = view.of_image(image)
    pixels = torch.from_numpy(np.ascontiguousarray(viewed.transpose(2, 0, 1)))
    local, pooled = model.backbone(model.data_preprocessor(dict(inputs=[pixels]))['inputs'])
    return SeenImage(reduced(image), local, pooled, viewed.shape[:2], path)
