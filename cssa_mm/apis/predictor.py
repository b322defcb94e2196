"""One way from images to labels: paths, PIL images, arrays or tensors in, scores and labels out, streaming."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from mmengine import fileio
from PIL import Image
from torch import Tensor

from cssa_mm.datasets.view import View
from cssa_mm.engine.runner import checked_device
from cssa_mm.errors import ConfigError, DataError, ImageError
from cssa_mm.features.view import model_view
from cssa_mm.models import CSSAClassifier

ImageLike = str | os.PathLike | Image.Image | np.ndarray | Tensor


@dataclass(frozen=True)
class Prediction:
    """The prediction of a model for an image.

    Attributes:
        scores: float32 (C,), from 0 to 1.
        labels: names of the classes whose score reaches their threshold; of a model without thresholds (`zero_shot`)
            the class with the highest score.
        path: path of the image; None if it was not given as a path.
    """

    scores: np.ndarray
    labels: list[str]
    path: str | None


class Predictor:
    """Scores images with a model, in batches, in the order in which they come.

    Args:
        model: a model from `load_model` or `zero_shot`.
        batch_size: images scored at a time.
        device: 'cpu', 'cuda' or 'mps'; by default that of the model.

    Raises:
        ConfigError: the batch size is invalid, the machine has no such device, or the model does not know the view
            that images are scored on.

    Example:
        >>> import cssa_mm, numpy as np
        >>> names = ['anchor', 'coffee']
        >>> model = cssa_mm.zero_shot(class_names=names, model_name='cssa-demo-rn', pretrained='demo', size=128)
        >>> predictor = cssa_mm.Predictor(model, batch_size=8)
        >>> (result,) = predictor.predict([np.zeros((90, 120, 3), np.uint8)])
        >>> result.scores.shape, len(result.labels), result.path
        ((2,), 1, None)
    """

    def __init__(
        self, model: CSSAClassifier, *, batch_size: int = 32, device: str | torch.device | None = None
    ) -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigError(f'batch_size: found {batch_size!r}, expected a whole number from 1')
        model_view(model)  # raises where there is none
        self.model = model if device is None else model.to(checked_device(device))
        self.batch_size = batch_size

    def predict(self, images: ImageLike | Iterable[ImageLike]) -> Iterator[Prediction]:
        """Yield one result per image, as soon as its batch is scored.

        Args:
            images: one image, or any number of them: paths, or addresses in a storage; PIL images; uint8 arrays
                (H, W, 3) in RGB or (H, W) in grey; tensors (3, H, W), uint8 or float in 0..1.

        Raises:
            ImageError: a file is missing or unreadable.
            DataError: an array or tensor has another shape or type.
        """
        was_training = self.model.training
        if was_training:  # in eval mode already, the folded text features are kept from call to call
            self.model.eval()
        try:
            yield from self._predictions(images)
        finally:
            if was_training:
                self.model.train()

    def _predictions(self, images: ImageLike | Iterable[ImageLike]) -> Iterator[Prediction]:
        batch: list[tuple[Tensor, str | None]] = []
        is_one = isinstance(images, ImageLike) and getattr(images, 'ndim', 3) < 4
        several = cast('Iterable[ImageLike]', [images] if is_one else images)
        for image in several:
            pixels, path = self._viewed(image)
            # A view that keeps the size of images can only batch equal ones.
            if batch and (len(batch) == self.batch_size or batch[0][0].shape != pixels.shape):
                yield from self._scored(batch)
                batch = []
            batch.append((pixels, path))
        if batch:
            yield from self._scored(batch)

    def _viewed(self, image: ImageLike) -> tuple[Tensor, str | None]:
        """The view of an image, uint8 (3, H, W), and its path."""
        path, view = None, model_view(self.model)
        if isinstance(image, str | os.PathLike):
            path = os.fspath(image)
            array = view.decode(_read(path), path)
        else:
            array = _array_of(image, view)
        pixels = np.ascontiguousarray(view.of_image(array).transpose(2, 0, 1))
        return torch.from_numpy(pixels), path

    @torch.no_grad()
    def _scored(self, batch: list[tuple[Tensor, str | None]]) -> Iterator[Prediction]:
        inputs = self.model.data_preprocessor(dict(inputs=[pixels for pixels, _ in batch]))['inputs']
        scores = self.model.score(*self.model.backbone(inputs)).float().cpu().numpy()
        return (Prediction(row, self._labels(row), path) for row, (_, path) in zip(scores, batch, strict=True))

    def _labels(self, scores: np.ndarray) -> list[str]:
        names, thresholds = self.model.class_names, self.model.thresholds
        if thresholds.rule == 'none':
            return [names[int(scores.argmax())]]
        reached = np.flatnonzero(scores.astype(np.float64) >= np.asarray(thresholds.values))
        return [names[c] for c in reached]


def _read(path: str) -> bytes:
    try:
        return fileio.get(path)
    except OSError as error:
        raise ImageError(f'{path}: cannot be read ({error.strerror or error}), expected an image file') from error


def _array_of(image: Image.Image | np.ndarray | Tensor, view: View) -> np.ndarray:
    """An image in memory, before its view, as uint8 (H, W, 3), RGB."""
    if isinstance(image, Image.Image):
        try:
            return view.decoder.to_rgb(image).pixels
        except OSError as error:  # Pillow decodes at the first use
            raise ImageError(
                f'image: found a PIL image that cannot be decoded ({error}), expected a whole one'
            ) from error
    if isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
            raise DataError(f'image: found a tensor of shape {tuple(image.shape)}, expected (3, height, width)')
        if image.is_floating_point():
            if not (0 <= float(image.min()) and float(image.max()) <= 1):
                raise DataError(
                    f'image: found a float tensor from {float(image.min()):g} to {float(image.max()):g}, expected '
                    'values in 0..1; give pixels of 0..255 as uint8'
                )
            image = (image * 255).round().to(torch.uint8)
        image = image.cpu().numpy().transpose(1, 2, 0)
    if not isinstance(image, np.ndarray):
        raise DataError(f'image: found a {type(image).__name__}, expected a path, a PIL image, an array or a tensor')
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(
            f'image: found an array of shape {image.shape} and type {image.dtype}, expected uint8 of shape (height, '
            'width, 3) in RGB order, or (height, width)'
        )
    return image
