"""The picture of the pointing game: maps over a few photos, the boxes of the class, and where each map points."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from cssa_mm.visualization.explanation import CellMap, draw_heat, frame
from cssa_mm.visualization.style import ACCENT, INK, MUTED, SECOND, new_figure, save_figure

SIGNS = {True: ('hit', ACCENT, '✓'), False: ('miss', SECOND, '✗')}
# In inches: a photo, the gap between two, and the margins; the figure, and a line of text.
HEIGHT, GAP, LEFT, TOP, BOTTOM, RIGHT = 1.9, 0.06, 0.5, 0.34, 0.48, 0.06
NARROWEST, LINE = 4.5, 0.16


@dataclass(frozen=True)
class PointingTrial:
    """A photo (H, W, 3) and a class in it, and for each method, by its title, a map and whether it hits.

    Boxes (k, 4) of the class: left, top, right, bottom as shares of width and height.
    """

    image_id: str
    image: np.ndarray
    class_name: str
    boxes: np.ndarray
    maps: Mapping[str, CellMap]
    is_hit: Mapping[str, bool]


def draw_pointing_game(trials: Sequence[PointingTrial], shares: Mapping[str, float], count: int, out: Path) -> None:
    """Write the picture that `pointing_figure` makes."""
    save_figure(pointing_figure(trials, shares, count), out)


def pointing_figure(trials: Sequence[PointingTrial], shares: Mapping[str, float], count: int) -> Figure:
    """One column a trial, one row a method; all photos are equally high.

    Args:
        trials: one or more.
        shares: of hits among all trials, by the method's title; those of the chosen trials would mislead.
        count: of all trials.
    """
    # A panorama would leave no room for the others.
    widths = [HEIGHT * np.clip(trial.image.shape[1] / trial.image.shape[0], 0.6, 2) for trial in trials]
    caption = _caption(trials, next(iter(shares)), count)
    width = max(LEFT + sum(widths) + GAP * (len(trials) - 1) + RIGHT, NARROWEST)
    lines = textwrap.wrap(caption, int(15 * (width - LEFT)))
    below = BOTTOM + LINE * len(lines)
    height = TOP + HEIGHT * len(shares) + GAP * (len(shares) - 1) + below
    size = np.array([width, height])
    figure = new_figure(width, height, layout=None)
    for row, (method, share) in enumerate(shares.items()):
        for column, trial in enumerate(trials):
            left = LEFT + sum(widths[:column]) + GAP * column
            bottom = size[1] - TOP - HEIGHT * (row + 1) - GAP * row
            axes = figure.add_axes((*(left, bottom) / size, *(widths[column], HEIGHT) / size))
            _draw_trial(axes, trial, method)
            if row == 0:
                axes.set_title(_shortened(trial.class_name, int(12 * widths[column])), fontsize=10, color=INK)
            if row == len(shares) - 1:
                axes.set_xlabel(trial.image_id, fontsize=7, color=MUTED)
            if column == 0:
                axes.set_ylabel(f'{method}\n{100 * share:.1f} % hits', fontsize=9, color=INK)
    handles: list[Artist] = [
        Line2D([], [], color=colour, marker='o', markersize=9, linestyle='none', label=f'{sign} {label}')
        for label, colour, sign in SIGNS.values()
    ]
    handles.append(Rectangle((0, 0), 1, 1, fill=False, edgecolor=MUTED, label='box of the class'))
    corner = (LEFT, below - BOTTOM) / size
    figure.legend(
        handles=handles, loc='lower left', bbox_to_anchor=corner, ncols=3, frameon=False, fontsize=8, borderpad=0.2
    )
    figure.text((LEFT + GAP) / width, GAP / height, '\n'.join(lines), va='bottom', fontsize=8, color=MUTED)
    return figure


def _shortened(name: str, length: int) -> str:
    return name if len(name) <= length else f'{name[: length - 1].rstrip()}…'


def _caption(trials: Sequence[PointingTrial], method: str, count: int) -> str:
    num_hits = sum(trial.is_hit[method] for trial in trials)
    return (
        f'Shares: of all {count:,} pairs of image and class. Shown: {num_hits} drawn from the hits of the {method}, '
        f'{len(trials) - num_hits} from its misses.'
    )


def _draw_trial(axes: Axes, trial: PointingTrial, method: str) -> None:
    height, width = trial.image.shape[:2]
    draw_heat(axes, (0.55 * trial.image).astype(np.uint8), trial.maps[method].spread((height, width)))
    for left, top, right, bottom in trial.boxes * (width, height, width, height):
        box = Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor='white', linewidth=1.3)
        axes.add_patch(box)
    x, y = trial.maps[method].peak((height, width))
    label, colour, sign = SIGNS[trial.is_hit[method]]
    axes.plot(x, y, 'o', color=colour, markeredgecolor='white', markersize=12, clip_on=False, label=label)
    axes.text(x, y, sign, color='white', fontsize=8, ha='center', va='center_baseline')
    frame(axes, trial.image)
