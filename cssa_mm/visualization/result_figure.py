"""The picture of an image with its true and its predicted labels."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cssa_mm.visualization.style import ACCENT, INK, MUTED, SECOND, new_figure

WIDTH = 5.0  # inches
LETTERS = 82  # of a line
LINE = 0.19  # inches


def result_figure(
    image: np.ndarray,
    right: Sequence[str],
    missed: Sequence[str],
    added: Sequence[str],
    unknown: Sequence[str],
    note: str,
) -> Figure:
    """An image (H, W, 3) and below it, name by name, where prediction and truth agree and where they don't.

    Args:
        image: uint8 (H, W, 3).
        right: labels that are true and predicted.
        missed: labels that are true and not predicted.
        added: labels that are predicted and not true.
        unknown: predicted labels whose truth is unknown.
        note: the last line.
    """
    texts = [
        (f'true: {", ".join([*right, *missed]) or "none"}', INK),
        (f'predicted: {", ".join([*right, *added, *unknown]) or "none"}', INK),
        (f'missed: {", ".join(missed)}' if missed else '', SECOND),
        (f'wrongly predicted: {", ".join(added)}' if added else '', SECOND),
        (f'predicted, truth unknown: {", ".join(unknown)}' if unknown else '', MUTED),
        (note, ACCENT),
    ]
    lines = [(line, colour) for text, colour in texts for line in textwrap.wrap(text, LETTERS)]
    picture = WIDTH * image.shape[0] / image.shape[1]
    height = picture + LINE * (len(lines) + 1)
    figure = new_figure(WIDTH, height, layout=None)
    axes = figure.add_axes((0, 1 - picture / height, 1, picture / height))
    axes.imshow(image, interpolation='nearest' if image.shape[1] < 200 else 'antialiased')
    axes.set_axis_off()
    for number, (line, colour) in enumerate(lines):
        figure.text(
            0.02, 1 - (picture + LINE * (number + 1)) / height, line, color=colour, fontsize=8, parse_math=False
        )
    return figure
