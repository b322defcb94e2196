"""Images as users have them - paths, PIL images, arrays, tensors - to the pixels that a model scores."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import torch
from mmengine import fileio
from PIL import Image
from torch import Tensor

from cssa_mm.datasets import LoadRGBImage
from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError, DataError, ImageError

ImageLike = str | os.PathLike | bytes | Image.Image | np.ndarray | Tensor
# Of arrays and tensors; whatever is decoded is RGB.
CHANNEL_ORDERS = ('rgb', 'bgr')
KINDS = 'a path, an address, the bytes of a file, a PIL image, an array or a tensor'


def several(images: ImageLike | Iterable[ImageLike]) -> Iterable[ImageLike]:
    """One image, or any number of them, as any number; an array or tensor of four dimensions holds several.

    Raises:
        DataError: it is neither.
    """
    if isinstance(images, ImageLike) and getattr(images, 'ndim', 3) < 4:
        return [images]
    if not isinstance(images, Iterable):
        raise DataError(f'image: found a {type(images).__name__}, expected {KINDS}, or several of them')
    return cast('Iterable[ImageLike]', images)


def view_batches(
    images: Iterable[ImageLike], view: View, batch_size: int, channel_order: str | None = 'rgb'
) -> Iterator[tuple[list[Tensor], list[str | None]]]:
    """Up to `batch_size` views of one size, uint8 (3, H, W), RGB, with their paths, in the order of the images.

    Raises: see `decoded`.
    """
    pixels: list[Tensor] = []
    paths: list[str | None] = []
    for image in images:
        one, path = viewed(image, view, channel_order)
        # A view that keeps the size of images can only batch equal ones.
        if pixels and (len(pixels) == batch_size or pixels[0].shape != one.shape):
            yield pixels, paths
            pixels, paths = [], []
        pixels.append(one)
        paths.append(path)
    if pixels:
        yield pixels, paths


def viewed(image: ImageLike, view: View, channel_order: str | None = 'rgb') -> tuple[Tensor, str | None]:
    """The view of an image, uint8 (3, H, W), RGB, and its path (None if it was not given as a path).

    Raises: see `decoded`.
    """
    array, path = decoded(image, view, channel_order)
    return torch.from_numpy(np.ascontiguousarray(view.of_image(array).transpose(2, 0, 1))), path


def decoded(image: ImageLike, view: LoadRGBImage, channel_order: str | None = 'rgb') -> tuple[np.ndarray, str | None]:
    """An image before its view, uint8 (H, W, 3), RGB, and its path (None if it was not given as a path).

    Args:
        image: see `KINDS`.
        view: the view, or another loader; it decodes files and PIL images.
        channel_order: 'rgb' or 'bgr', the colours of arrays and tensors. None: tensors are RGB, as everybody's are, and
            arrays in colour are refused, as nobody can tell.

    Raises:
        ImageError: a file is missing or unreadable.
        DataError: an array or tensor has another shape or type, or an array has an unknown order.
    """
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        return view.decode(_read(path), path), path
    if isinstance(image, bytes):
        return view.decode(image, 'image given as bytes'), None
    array = _array_of(image, view)
    if channel_order is None and isinstance(image, np.ndarray) and image.ndim == 3:
        raise DataError(
            "image: found an array and no channel_order, expected channel_order='bgr' for arrays of OpenCV and mmcv, "
            "or 'rgb' for those of Pillow; say which, as the scores depend on it"
        )
    if channel_order == 'bgr' and not isinstance(image, Image.Image):
        array = np.ascontiguousarray(array[:, :, ::-1])
    return array, None


def checked_order(channel_order: str | None, allows_none: bool = False) -> str | None:
    """The order of colours.

    Raises:
        ConfigError: it is no known one.
    """
    if channel_order not in CHANNEL_ORDERS and not (allows_none and channel_order is None):
        raise ConfigError(f"channel_order: found {channel_order!r}, expected 'rgb' or 'bgr'")
    return channel_order


def _read(path: str) -> bytes:
    try:
        return fileio.get(path)
    except MemoryError:
        raise  # the machine's fault, not the image's
    # Storage backends raise what they like.
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        reason = reason or f'{type(error).__name__}: {" ".join(str(error).split())}'
        raise ImageError(
            f'{path if path.isprintable() else ascii(path)}: cannot be read ({reason}), expected an image file'
        ) from error


def _array_of(image: Image.Image | np.ndarray | Tensor, view: LoadRGBImage) -> np.ndarray:
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
        raise DataError(f'image: found a {type(image).__name__}, expected {KINDS}')
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise DataError(
            f'image: found an array of shape {image.shape} and type {image.dtype}, expected uint8 of shape (height, '
            'width, 3) in RGB order, or (height, width)'
        )
    return image
