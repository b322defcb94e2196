"""The picture of a rate, such as the learning rate, over the steps of both phases of a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cssa_mm.visualization.style import ACCENT, INK, MUTED, plain_axes

MOST_TICKS = 12


def draw_rates(
    figure: Figure, values: Sequence[float], epoch_steps: Sequence[int], warmup_epochs: int, name: str, title: str
) -> None:
    """Draw the rate of each step, with the warm-up shaded and the epochs, which differ in length, on the upper axis.

    Args:
        figure: an empty figure.
        values: the rate of each optimiser step.
        epoch_steps: the number of steps of each epoch.
        warmup_epochs: how many of the epochs are warm-up.
        name: of the rate.
        title: of the picture.
    """
    axes = figure.subplots()
    axes.plot(np.arange(len(values)), values, color=ACCENT, linewidth=1.2, marker='.' if len(values) < 100 else None)
    plain_axes(axes)
    axes.set_xlabel('optimiser step')
    axes.set_ylabel(name)
    ends = np.concatenate([[0], np.cumsum(epoch_steps)])
    if 0 < warmup_epochs < len(epoch_steps):
        axes.axvspan(-0.5, ends[warmup_epochs] - 0.5, color=MUTED, alpha=0.18, linewidth=0)
        axes.annotate(
            'warm-up', (0, 1), (4, -4), xycoords=('data', 'axes fraction'), textcoords='offset points', va='top',
            color=INK,
        )  # fmt: skip
    above = axes.secondary_xaxis('top')
    ticks = [0]
    for epoch, end in enumerate(ends):
        if end - ends[ticks[-1]] >= ends[-1] / MOST_TICKS:
            ticks.append(epoch)
    above.set_xticks(ends[ticks], [str(epoch) for epoch in ticks])
    above.set_xlabel('epochs completed')
    axes.set_title(title, color=INK)
