"""Wrong labels on purpose, for studies of noise: in the labelled images, and in the pseudo-labels."""

from __future__ import annotations

from numbers import Real

import numpy as np

from cssa_mm.errors import ConfigError


def checked_share(where: str, share: float) -> float:
    """The share of labels to make wrong.

    Raises:
        ConfigError: It is not a number in [0, 1].
    """
    if not isinstance(share, Real) or isinstance(share, bool) or not 0 <= share <= 1:
        raise ConfigError(f'{where}: found wrong_labels={share!r}, expected a number in [0, 1]; 0 changes no label.')
    return float(share)


def move_positives(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Move a share of the positive cells to another class, which their image truly does not show.

    Every image keeps its number of positives, and the errors of a larger share include those of a smaller one. A cell
    whose image has no negative left is skipped, and another cell is moved instead while there is one.

    Args:
        labels: true labels (n, C) in {1, 0, -1}.
        share: of the positive cells, rounded to whole cells.
        seed: of the cells that are drawn, and of the classes that they move to.

    Returns:
        A changed copy, of the same type.
    """
    wrong = labels.copy()
    rng = np.random.default_rng(seed)
    rows, classes = np.nonzero(labels == 1)
    # Draw for every cell, moved or not, so that the errors of a larger share include those of a smaller one.
    order, choices = rng.permutation(len(rows)), rng.random(len(rows))
    left = round(share * len(rows))
    for cell in order:
        row = rows[cell]
        free = np.flatnonzero((labels[row] == 0) & (wrong[row] == 0))
        if left and len(free):
            wrong[row, classes[cell]] = 0
            wrong[row, free[int(choices[cell] * len(free))]] = 1
            left -= 1
    return wrong


def swapped_column(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """The row that each pseudo-label of a class comes from when a share of its positives trade places with negatives.

    The numbers of positives and negatives stay the same. The truth is not consulted, so a wrong pseudo-label may become
    right.

    Args:
        labels: pseudo-labels (M,) of one class in {1, 0, -1}; masked ones (-1) stay.
        share: of the positives, rounded to whole ones, as far as there are negatives.
        rng: source of the draw.

    Returns:
        int64 (M,), for ``labels[rows]``; for weights likewise.
    """
    source = np.arange(len(labels))
    positives = rng.permutation(np.flatnonzero(labels == 1))
    negatives = rng.permutation(np.flatnonzero(labels == 0))
    count = min(round(share * len(positives)), len(negatives))
    source[positives[:count]] = negatives[:count]
    source[negatives[:count]] = positives[:count]
    return source
