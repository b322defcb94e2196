"""What a pipeline makes of a picture of known colours: size, order and range of colours that the tower sees."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from PIL import Image
from torch import Tensor

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.datasets.sample_key import generators_kept
from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError, CSSAError

HEIGHT, WIDTH = 240, 320
LOWEST, HIGHEST = -8, 8  # the pixels of the picture lie between these once they are normalised or scaled to 1


def try_pipelines(dataset: Any, view: View, where: str, is_test: bool) -> None:
    """Send a picture through the pipeline of a data set of ours, also inside wrappers, and say what differs.

    A training pipeline may augment; that of a test should give the plain view, which models are scored on.

    Args:
        dataset: the data set; None has nothing to try.
        view: the plain view of the config.
        where: what messages call the data set.
        is_test: whether the pixels should be those of the plain view.

    Raises:
        ConfigError: images come out as BGR, or normalised.
    """
    for path, part in _ours(dataset, where):
        _try(part, view, f'{path}.pipeline', is_test)


def _ours(dataset: Any, where: str) -> Iterator[tuple[str, SemiMultiLabelDataset]]:
    if isinstance(dataset, SemiMultiLabelDataset):
        yield where, dataset
        return
    inner = getattr(dataset, 'dataset', None)
    parts = [('dataset', inner)] if inner is not None else []
    parts += [(f'datasets[{number}]', part) for number, part in enumerate(getattr(dataset, 'datasets', None) or ())]
    for name, part in parts:
        yield from _ours(part, f'{where}.{name}')


def known_picture() -> np.ndarray:
    """A picture, uint8 (H, W, 3), that is red before it is green before it is blue, everywhere, and nowhere flat."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ramp = (40 * rows / HEIGHT + 20 * columns / WIDTH).astype(np.uint8)
    return np.stack([180 + ramp, 90 + ramp, 10 + ramp], axis=-1).astype(np.uint8)


def _try(dataset: SemiMultiLabelDataset, view: View, where: str, is_test: bool) -> None:
    picture = known_picture()
    try:
        pixels = _through(dataset, picture, where)
    except CSSAError:
        raise
    # Transforms of other packages fail in any way, maybe on this picture alone.
    except Exception as error:
        print_log(f'{where}: a picture of known colours could not be sent through it ({error!r})', 'current')
        return
    if pixels is None:
        return
    plain = view.of_image(picture)
    found, expected = (' x '.join(map(str, shape[:2])) for shape in (pixels.shape, plain.shape))
    kept = '' if view.size is not None else f' (of a picture of {HEIGHT} x {WIDTH}, whose size the view keeps)'
    message = ''
    if pixels.shape != plain.shape:
        message = (
            f'found images of {found} pixels, but pseudo-labels, predictions and exports have {expected}{kept}, the '
            '`view` of the config; set view.size or the sizes of this pipeline to make them one'
        )
    elif is_test and not np.array_equal(pixels, plain):
        message = (
            f'found another view than {view}, which pseudo-labels and checkpoints have, though of the same size, '
            f'{found}; figures of other pixels will differ'
        )
    if message:
        print_log(f'{where}: {message}', 'current', logging.WARNING)


def _through(dataset: SemiMultiLabelDataset, picture: np.ndarray, where: str) -> np.ndarray | None:
    """The packed pixels (h, w, 3) of the picture; None where the pipeline packs several views, or something else."""
    with tempfile.TemporaryDirectory() as folder, generators_kept():
        path = Path(folder, 'picture.png')
        Image.fromarray(picture).save(path)
        item: Any = dataset.get_data_info(0) | dict(img_path=str(path))
        is_loaded = False
        for step in dataset.pipeline.transforms:
            item = step(item)
            if not is_loaded and isinstance(item, dict) and isinstance(item.get('img'), np.ndarray):
                is_loaded = True
                _refuse_bgr(item['img'], step, where)
    inputs = item.get('inputs') if isinstance(item, dict) else None
    views = inputs if isinstance(inputs, list | tuple) else [inputs]  # of test-time augmentation
    found = [_pixels(each, where) for each in views]
    return None if isinstance(inputs, list | tuple) else found[0]


def _pixels(inputs: Any, where: str) -> np.ndarray | None:
    if not isinstance(inputs, Tensor) or inputs.ndim != 3:
        return None
    pixels: np.ndarray = inputs.permute(1, 2, 0).numpy()
    if pixels.dtype != np.uint8 and LOWEST < pixels.min() and pixels.max() < HIGHEST:
        raise ConfigError(
            f'{where}: found pixels from {pixels.min():.2f} to {pixels.max():.2f}, expected 0 to 255, as the tower '
            'normalises them by its own statistics; leave Normalize out'
        )
    return pixels


def _refuse_bgr(image: np.ndarray, step: Any, where: str) -> None:
    means = image.reshape(-1, image.shape[-1]).mean(0)
    if len(means) != 3 or list(np.argsort(means)) == [0, 1, 2]:
        raise ConfigError(
            f'{where}: found {type(step).__name__}, which gives {"BGR" if len(means) == 3 else "no three colours"}, '
            "expected RGB; use dict(type='LoadRGBImage') or the view"
        )
