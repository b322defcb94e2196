"""The picture of features in two dimensions, a colour for each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from cssa_mm.visualization.style import INK, MUTED

SEVERAL = -1  # the class of a point that has several


def draw_points(
    figure: Figure, points: np.ndarray, owners: np.ndarray, names: Sequence[str], title: str, legend: bool
) -> None:
    """Draw points (n, 2 or 3) by their first two dimensions, coloured by class.

    Args:
        figure: an empty figure.
        points: (n, d).
        owners: (n,) indices into the names, or `SEVERAL`.
        names: of the classes.
        title: of the picture.
        legend: whether the classes are named.
    """
    axes = figure.subplots()
    low, high = points.min(axis=0), points.max(axis=0)
    places = (points - low) / np.maximum(high - low, 1e-12)
    colours = colormaps['tab20']
    for owner in (SEVERAL, *range(len(names))):
        rows = owners == owner
        colour = MUTED if owner == SEVERAL else colours(owner % 20)
        name = 'several classes' if owner == SEVERAL else names[owner]
        if rows.any():
            marker = 'o^sDv'[owner // 20 % 5] if owner >= 0 else '.'
            axes.scatter(places[rows, 0], places[rows, 1], s=15, color=[colour], marker=marker, label=name)
    axes.set_title(title, color=INK, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    if legend:
        axes.legend(loc='center left', bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
