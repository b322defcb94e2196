"""Images as users have them - paths, PIL images, arrays, tensors - to the pixels that a model scores."""

from __future__ import annotations

import os

import numpy as np
import torch
from mmengine import fileio
from PIL import Image
from torch import Tensor

from cssa_mm.datasets.view import View
from cssa_mm.errors import DataError, ImageError

ImageLike = str | os.PathLike | bytes | Image.Image | np.ndarray | Tensor


def viewed(image: ImageLike, view: View) -> tuple[Tensor, str | None]:
    """The view of an image, uint8 (3, H, W), RGB, and its path (None if it was not given as a path).

    Raises:
        ImageError: a file is missing or unreadable.
        DataError: an array or tensor has another shape or type.
    """
    path = None
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        array = view.decode(_read(path), path)
    elif isinstance(image, bytes):
        array = view.decode(image, 'image given as bytes')
    else:
        array = _array_of(image, view)
    return torch.from_numpy(np.ascontiguousarray(view.of_image(array).transpose(2, 0, 1))), path


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
        raise DataError(
            f'image: found a {type(image).__name__}, expected a path, bytes, a PIL image, an array or a tensor'
        )
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(
            f'image: found an array of shape {image.shape} and type {image.dtype}, expected uint8 of shape (height, '
            'width, 3) in RGB order, or (height, width)'
        )
    return image
