"""One way from images to labels: paths, PIL images, arrays or tensors in, scores and labels out, streaming."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cssa_mm.apis.chosen_labels import LabelChoice
from cssa_mm.apis.image_input import ImageLike, checked_order, several, view_batches
from cssa_mm.apis.scorer import Scorer, TorchScorer
from cssa_mm.engine.runner import checked_device
from cssa_mm.errors import require_whole_number
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.eval_mode import in_eval_mode


@dataclass(frozen=True)
class Prediction:
    """The prediction of a model for an image.

    Attributes:
        scores: float32 (C,), from 0 to 1, calibrated: of the cells scored .8, about four in five are positive.
        labels: names of the classes whose score reaches their threshold; of a model without thresholds (`zero_shot`)
            the class with the highest score.
        path: path of the image; None if it was not given as a path.
        raw_scores: float32 (C,), before calibration.
    """

    scores: np.ndarray
    labels: list[str]
    path: str | None
    raw_scores: np.ndarray


class Predictor:
    """Scores images with a model, in batches, in the order in which they come.

    Args:
        model: a model from `load_model` or `zero_shot`, or another scorer.
        batch_size: images scored at a time.
        device: 'cpu', 'cuda' or 'mps'; by default that of the model.
        threshold: in place of the model's thresholds: one for all classes, or a dict class name -> threshold.
        top: the number of labels of each image, its best ones, whatever their scores; not with `threshold`.
        channel_order: the colours of arrays and tensors: 'rgb', or 'bgr', which OpenCV and mmcv read.

    Attributes:
        class_names: the C names, in the order of the scores.
        choice: how labels are chosen.

    Raises:
        ConfigError: the batch size, threshold, top or channel order is invalid, the machine has no such device, or the
            model does not know the view that images are scored on.

    Examples:
        >>> import cssa_mm, numpy as np
        >>> names = ['anchor', 'coffee']
        >>> model = cssa_mm.zero_shot(class_names=names, model_name='cssa-demo-rn', pretrained='demo', size=128)
        >>> predictor = cssa_mm.Predictor(model, batch_size=8)
        >>> (result,) = predictor.predict([np.zeros((90, 120, 3), np.uint8)])
        >>> result.scores.shape, len(result.labels), result.path
        ((2,), 1, None)
    """

    def __init__(
        self,
        model: CSSAClassifier | Scorer,
        *,
        batch_size: int = 32,
        device: str | torch.device | None = None,
        threshold: float | Mapping[str, float] | None = None,
        top: int | None = None,
        channel_order: str = 'rgb',
    ) -> None:
        require_whole_number('batch_size', batch_size, 1)
        self.model = model
        if isinstance(model, CSSAClassifier):
            self.scorer: Scorer = TorchScorer(model)  # raises where there is no view
            if device is not None:
                model.to(checked_device(device))
        else:
            self.scorer = model
        self.batch_size = batch_size
        self.channel_order = checked_order(channel_order)
        self.class_names = self.scorer.class_names
        self.choice = LabelChoice.of(self.scorer, threshold=threshold, top=top)

    def predict(self, images: ImageLike | Iterable[ImageLike]) -> Iterator[Prediction]:
        """Yield one result per image, as soon as its batch is scored.

        Args:
            images: one image, or any number of them: paths, or addresses in a storage; the bytes of a file; PIL
                images; uint8 arrays (H, W, 3), or (H, W) in grey; tensors (3, H, W), uint8 or float in 0..1.

        Raises:
            ImageError: a file is missing or unreadable.
            DataError: an array or tensor has another shape or type, or an image is too small for the tower.
        """
        # In eval mode already, the folded text features are kept from call to call.
        with in_eval_mode(self.model) if isinstance(self.model, CSSAClassifier) else nullcontext():
            for batch in view_batches(several(images), self.scorer.view, self.batch_size, self.channel_order):
                yield from self.of_pixels(*batch)

    def of_pixels(self, pixels: Sequence[Tensor], paths: Sequence[str | None]) -> list[Prediction]:
        """Predictions of B images that the view has made, uint8 (3, H, W) of one size, with their paths."""
        scores = self.scorer(torch.stack(list(pixels)))
        reached = self.choice.reached(scores.calibrated)
        rows = zip(*scores, reached, paths, strict=True)
        return [
            Prediction(row, [self.class_names[c] for c in np.flatnonzero(labels)], path, raw)
            for row, raw, labels, path in rows
        ]
