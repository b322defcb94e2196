"""The picture of the 2 x 2 tables of several classes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from cssa_mm.visualization.style import INK

COLUMNS = 10  # at most
SIDE = 1.35  # inches of a table
DARK = 0.5  # luminance below which figures are written in white


def grid_of(count: int) -> tuple[int, int]:
    """Rows and columns of the tables of some classes."""
    columns = min(COLUMNS, max(3, math.ceil(math.sqrt(count))))
    return math.ceil(count / columns), columns


def size_of(count: int) -> tuple[float, float]:
    """Width and height in inches of the picture of some classes."""
    rows, columns = grid_of(count)
    return columns * SIDE + 0.4, rows * (SIDE + 0.35) + 1.0


def draw_confusion(figure: Figure, tables: np.ndarray, names: Sequence[str], with_values: bool, cmap: str) -> None:
    """Draw a table for each class: rows are the truth, columns the prediction, colours shares of the row.

    Args:
        figure: an empty figure, of `size_of` the number of classes.
        tables: (C, 2, 2), see `confusion_tables`.
        names: of the C classes.
        with_values: write the counts into the cells.
        cmap: name of matplotlib's colour map.
    """
    grid = np.atleast_1d(figure.subplots(*grid_of(len(names)))).ravel()
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    colours = colormaps[cmap]
    for axes, table, name in zip(grid, tables, names, strict=False):
        shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap=cmap, vmin=0, vmax=1)
        axes.set_title(textwrap.shorten(name, 22, placeholder='...'), fontsize=8, color=INK)
        axes.set_xticks([0, 1], ['no', 'yes'], fontsize=7)
        axes.set_yticks([0, 1], ['no', 'yes'], fontsize=7)
        axes.tick_params(length=0)
        for row, column in np.ndindex(2, 2) if with_values else ():
            red, green, blue, _ = colours(shares[row, column])
            is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < DARK
            axes.text(
                column, row, f'{table[row, column]:,}', ha='center', va='center', fontsize=8,
                color='white' if is_dark else INK,
            )  # fmt: skip
    figure.suptitle('Predicted (columns) against true (rows), colour: share of the row', fontsize=10, color=INK)
