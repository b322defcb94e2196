"""A split rule of our own: CAP's rule with limits on the labelled positives of some classes.

It is for studies of classes with no, one or two labelled positives. The labelled images follow CAP's permutation, and
an image that would bring a class above its limit is skipped. Each step depends on the images before it alone, so the
splits of growing proportion are nested. The rule reads the labels of the images that it skips, which an annotator does
not know: it does not simulate annotation.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from numbers import Integral

import numpy as np

from cssa_mm.errors import SplitError, nearest


def limited_indices(
    labels: np.ndarray, count: int, seed: int, limits: Mapping[int, int], source: str | os.PathLike = 'split'
) -> np.ndarray:
    """Draw the first ``count`` images of ``RandomState(seed).permutation`` within the limits, in drawing order.

    Args:
        labels: (n, C) of all training images, 1, 0 or -1; an unknown cell is no positive.
        count: Number of images to draw.
        seed: Seed of the permutation.
        limits: Column of ``labels`` -> highest number of positives drawn; the other columns have no limit.
        source: What a message names as the place of the fault.

    Returns:
        Indices, shape (count,); those of a smaller count are its first ones.

    Raises:
        SplitError: Too few images within the limits.
    """
    shown = labels[:, list(limits)] == 1
    left = np.array(list(limits.values()), dtype=np.int64)
    drawn: list[int] = []
    for index in np.random.RandomState(seed).permutation(len(labels)):
        if len(drawn) == count:
            break
        if (shown[index] <= left).all():
            left -= shown[index]
            drawn.append(index)
    if len(drawn) < count:
        raise SplitError(
            f'{source}: found {len(drawn)} of {len(labels)} images within the limits of at_most, expected {count} for '
            f'the proportion; raise the limits, limit fewer classes or use a smaller proportion.'
        )
    return np.array(drawn, dtype=np.int64)


def checked_limits(
    at_most: Mapping[str, int], class_names: Collection[str], source: str | os.PathLike = 'split'
) -> dict[str, int]:
    """The limits as integers; a SplitError, naming ``source``, for an unknown class or an invalid count."""
    if not isinstance(at_most, Mapping):
        raise SplitError(f'{source}: found at_most {at_most!r}, expected dict(name=count) of some classes.')
    for name, limit in at_most.items():
        if name not in class_names:
            raise SplitError(
                f"{source}: found class '{name}' in at_most, expected one of the {len(class_names)} class names."
                f'{nearest(name, class_names)}'
            )
        if not isinstance(limit, Integral) or isinstance(limit, bool) or limit < 0:
            raise SplitError(f'{source}: found at_most {limit!r} for {name}, expected 0 or a positive integer.')
    return {name: int(limit) for name, limit in at_most.items()}
