"""A split rule of our own: the labelled images show every class about as often as the whole training set does.

CAP's rule draws images blindly, and half of the classes may end up with hardly a labelled positive. Here the images
are drawn one after the other, each so that the label counts come as close as possible to their share of the images
drawn so far: iterative stratification (Sechidis et al. 2011) written as a sequence. As no step looks at the
proportion, the splits of growing proportion are nested. The rule reads the labels of *all* images, so it can
simulate an annotator who looked for every class, but not one who drew photos at random.
"""

from __future__ import annotations

import os

import numpy as np

from cssa_mm.errors import SplitError

WINDOW = 256  # candidates that a step compares: enough to balance all but rare classes, which are served by name


def stratified_indices(labels: np.ndarray, count: int, seed: int, source: str | os.PathLike = 'split') -> np.ndarray:
    """Draw ``count`` images so that their labels are balanced, in drawing order.

    The first steps draw an image for each class with a positive, rare classes first (``count`` >= C images suffice
    for all of them). Each later step draws an image of the class that is furthest behind its share, if that is a whole
    image or more, else any image. A step compares at most ``WINDOW`` candidates, in the order of
    ``RandomState(seed).permutation``, and takes the one that brings all counts closest to their shares (least squared
    distance; the first of equals). It computes with integers, so the split is the same on every machine. Images
    without a known label are never drawn.

    Args:
        labels: (n, C) of all training images, 1, 0 or -1 (unknown).
        count: Number of images to draw.
        seed: Seed of the permutation.
        source: Where the arguments come from, for messages.

    Returns:
        Indices, shape (count,); those of a smaller count are its first ones.

    Raises:
        SplitError: Fewer than ``count`` images have labels.
    """
    candidates = np.random.RandomState(seed).permutation(len(labels))
    candidates = candidates[(labels[candidates] >= 0).any(axis=1)]
    if len(candidates) < count:
        raise SplitError(
            f'{source}: found {len(candidates)} images with labels, expected {count} for the proportion; '
            f'use a smaller one or annotate more images.'
        )
    shown = labels == 1
    # One more column for images that show nothing, which are to keep their share, too.
    shown = np.concatenate([shown, ~shown.any(axis=1, keepdims=True)], axis=1)
    total = len(candidates)
    totals = shown[candidates].sum(axis=0).astype(np.int64)
    waiting = {column: candidates[shown[candidates, column]] for column in np.flatnonzero(totals).tolist()}
    uncovered = [column for column in np.argsort(totals[:-1], kind='stable').tolist() if totals[column]]
    counts = np.zeros_like(totals)
    is_drawn = np.zeros(len(labels), dtype=bool)
    drawn = np.empty(count, dtype=np.int64)
    for step in range(count):
        # How far each column is behind its share, in images times their number.
        behind = (step + 1) * totals - counts * total
        uncovered = [column for column in uncovered if not counts[column]]
        needed = uncovered[0] if uncovered else int(behind.argmax())
        if uncovered or behind[needed] >= total:
            waiting[needed] = pool = _undrawn(waiting[needed], is_drawn)
        else:
            candidates = pool = _undrawn(candidates, is_drawn)
        window = pool[:WINDOW]
        chosen = window[(shown[window] @ (2 * behind - total)).argmax()]
        drawn[step] = chosen
        is_drawn[chosen] = True
        counts += shown[chosen]
    return drawn


def _undrawn(indices: np.ndarray, is_drawn: np.ndarray) -> np.ndarray:
    return indices[~is_drawn[indices]]
