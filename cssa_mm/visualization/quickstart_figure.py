"""The picture of a quickstart: learning curves, pseudo-label quality, and where the model looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from cssa_mm.visualization.explanation import Explanation, draw_label
from cssa_mm.visualization.style import ACCENT, DOTS, INK, MUTED, SECOND, new_figure, plain_axes, save_figure

Curve = Sequence[tuple[int, float]]


def draw_quickstart(
    curves: Mapping[str, Curve],
    zero_shot: float,
    records: Sequence[Mapping],
    scenes: Sequence[Explanation],
    out: Path,
) -> Path:
    """Write the picture that `quickstart_figure` makes; returns its path."""
    return save_figure(quickstart_figure(curves, zero_shot, records, scenes), out)


def quickstart_figure(
    curves: Mapping[str, Curve], zero_shot: float, records: Sequence[Mapping], scenes: Sequence[Explanation]
) -> Figure:
    """Two panels above, and below scenes with where the model looked for their best labels.

    Args:
        curves: title of a method -> (training step, mAP) of each validation; three at most.
        zero_shot: mAP before training.
        records: the epochs of `pseudo_labels.jsonl`; None stands for what is not known.
        scenes: one or more.
    """
    figure = new_figure(12.5, 7.2)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.15)).flat
    left, right = top.subplots(1, 2)
    _draw_curves(left, curves, zero_shot)
    _draw_quality(right, records)
    _draw_scenes(bottom, scenes)
    return figure


def _draw_curves(axes: Axes, curves: Mapping[str, Curve], zero_shot: float) -> None:
    axes.axhline(zero_shot, color=MUTED, linestyle=':', label='zero-shot')
    for (title, curve), colour in zip(curves.items(), (SECOND, ACCENT, INK), strict=False):
        if curve:
            axes.plot(*zip(*curve, strict=True), color=colour, label=title, **DOTS)
    axes.set(title='mAP on the test scenes (EMA)', xlabel='training step')
    axes.legend(frameon=False, loc='best')
    plain_axes(axes)


def _draw_quality(axes: Axes, records: Sequence[Mapping]) -> None:
    epochs = [record['epoch'] for record in records]
    for key, colour, label in (
        ('micro_precision', ACCENT, 'precision'),
        ('micro_recall', SECOND, 'recall'),
        ('masked_share', MUTED, 'share masked'),
    ):
        values = [np.nan if record[key] is None else 100 * record[key] for record in records]
        axes.plot(epochs, values, color=colour, label=label, **DOTS)
    axes.set(title='Are the pseudo-labels right? (CSSA, per cent)', xlabel='epoch', ylim=(0, 100))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc='best')
    plain_axes(axes)


def _draw_scenes(figure: SubFigure, scenes: Sequence[Explanation]) -> None:
    columns = 1 + max(len(scene.names) for scene in scenes)
    grid = figure.subplots(2, columns * ((len(scenes) + 1) // 2), squeeze=False)
    for axes in grid.flat:
        axes.axis('off')
    for index, scene in enumerate(scenes):
        row, column = index % 2, index // 2 * columns
        grid[row, column].imshow(scene.image)
        for number, name in enumerate(scene.names):
            title = f'{name} {scene.scores[number]:.2f}'
            draw_label(grid[row, column + 1 + number], scene, number, title, fontsize=9)
    figure.supxlabel(scenes[0].rule, fontsize=8, color=MUTED)
