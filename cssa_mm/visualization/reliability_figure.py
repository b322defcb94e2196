"""The reliability diagram: of the cells with a score, how many are positive."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cssa_mm.visualization.style import COLOURS, DOTS, INK, MUTED, new_figure, plain_axes, save_figure

FEWEST = 10  # cells of a bin that is drawn: fewer are noise


def draw_reliability(panels: Mapping[str, Mapping[str, Mapping]], out: str | os.PathLike) -> Path:
    """Write the figure; see `reliability_figure`. Returns its path."""
    return save_figure(reliability_figure(panels), out)


def reliability_figure(panels: Mapping[str, Mapping[str, Mapping]]) -> Figure:
    """A panel for each title, with a line for each name.

    Args:
        panels: title -> name of the scores -> their table by `evaluation.calibration.reliability`.
    """
    figure = new_figure(0.6 + 4.2 * len(panels), 5.6)
    grid = figure.subplots(2, len(panels), squeeze=False, sharex=True, height_ratios=(4, 1))
    for column, (title, tables) in enumerate(panels.items()):
        _draw_lines(grid[0, column], tables, title)
        _draw_counts(grid[1, column], tables)
    grid[0, 0].set_ylabel('share of positives')
    grid[1, 0].set_ylabel('cells')
    return figure


def _draw_lines(axes: Axes, tables: Mapping[str, Mapping], title: str) -> None:
    for (name, table), colour in zip(tables.items(), reversed(COLOURS[: len(tables)]), strict=True):
        enough = np.asarray(table['count']) >= FEWEST
        axes.plot(table['score'][enough], table['positive'][enough], color=colour, label=name, **DOTS)
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=':', linewidth=1.2, label='as scored')
    # No equal aspect: the counts below would no longer stand under their scores.
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_title(title, color=INK, loc='left', fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc='upper left')
    plain_axes(axes)


def _draw_counts(axes: Axes, tables: Mapping[str, Mapping]) -> None:
    """The number of cells in each bin: most scores are low, and say little about the others."""
    for table, colour in zip(tables.values(), reversed(COLOURS[: len(tables)]), strict=True):
        edges = np.linspace(0, 1, len(table['count']) + 1)
        axes.stairs(np.maximum(table['count'], 0.5), edges, color=colour)
    axes.set(yscale='log', xlabel='score', xlim=(0, 1))
    plain_axes(axes)
