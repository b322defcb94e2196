"""The picture of an explanation: the image, and beside it where the model looked for each of 1 to 12 labels."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cssa_mm.visualization.explanation import Explanation, draw_label, frame
from cssa_mm.visualization.fonts import DrawableNames
from cssa_mm.visualization.style import INK, MUTED, new_figure, save_figure

MOST = 12
# In inches: a panel's height and least width, which score and threshold need; the text above it, gaps and margin; a
# line below; the narrowest figure.
HEIGHT, NARROW, ABOVE, GAP, MARGIN, LINE, NARROWEST = 1.75, 1.55, 0.42, 0.12, 0.12, 0.16, 5.2
LETTERS = 15.5  # of the caption in an inch


def draw_explanation(explanation: Explanation, out: str | os.PathLike) -> Path:
    """Write the picture that `explanation_figure` makes; returns its path."""
    return save_figure(explanation_figure(explanation), out)


def explanation_figure(explanation: Explanation, truth: Sequence[str] | None = None) -> Figure:
    """The image as high as all rows of labels, and a panel for each label, at most `MOST`, row by row.

    Above a panel stand the label, its score and its threshold; below all of them the rule by which the maps were made.

    Args:
        explanation: of the image.
        truth: names of the labels that the image has, which a line below it tells; None where nobody has said so.
    """
    count = min(len(explanation.names), MOST)
    rows = 1 if count <= 3 else 2 if count <= 8 else 3
    columns = -(-count // rows)
    # A panorama or a tower would leave no room for the others.
    aspect = float(np.clip(explanation.image.shape[1] / explanation.image.shape[0], 0.6, 2))
    panel = (max(HEIGHT * aspect, NARROW), HEIGHT)
    high = rows * (ABOVE + HEIGHT) + (rows - 1) * GAP
    photo = ((high - ABOVE) * aspect, high - ABOVE)
    width = max(2 * MARGIN + photo[0] + columns * (GAP + panel[0]), NARROWEST)
    names = DrawableNames.of(explanation.names if truth is None else (*explanation.names, *truth))
    told = [] if truth is None else [f'True labels: {", ".join(names.names[len(explanation.names) :]) or "none"}.']
    if told and False in (explanation.is_true or ()):
        told = [f'{told[0]} Red: predicted, and not true.']
    letters = int(LETTERS * (width - 2 * MARGIN))
    lines = [line for text in (*told, explanation.rule) for line in textwrap.wrap(text, letters)]
    below = MARGIN + LINE * (len(lines) + 0.5)
    height = high + below
    figure = new_figure(width, height, layout=None)

    def axes_at(left: float, top: float, wide: float, tall: float) -> Axes:
        return figure.add_axes((left / width, 1 - (top + tall) / height, wide / width, tall / height))

    axes = axes_at(MARGIN, ABOVE, *photo)
    axes.imshow(explanation.image, extent=(0, explanation.image.shape[1], explanation.image.shape[0], 0))
    frame(axes, explanation.image)
    families = ['sans-serif', *names.families]
    if explanation.path is not None:
        title = _shortened(os.path.basename(explanation.path), int(11 * photo[0]))
        axes.set_title(title, fontsize=9, color=MUTED, family=families, parse_math=False)
    for number in range(count):
        row, column = divmod(number, columns)
        left = MARGIN + photo[0] + GAP + column * (panel[0] + GAP)
        axes = axes_at(left, ABOVE + row * (ABOVE + HEIGHT + GAP), *panel)
        draw_label(axes, explanation, number, _shortened(names.names[number], int(11 * panel[0])), pad=15)
        axes.title.set_fontfamily(families)
        axes.annotate(
            explanation.verdict(number),
            (0.5, 1),
            xytext=(0, 4),
            xycoords='axes fraction',
            textcoords='offset points',
            ha='center',
            fontsize=7.5,
            color=INK,
        )
    caption: dict[str, Any] = dict(va='top', fontsize=8, color=MUTED, family=families, parse_math=False)
    figure.text(MARGIN / width, (below - MARGIN) / height, '\n'.join(lines), **caption)
    return figure


def _shortened(name: str, length: int) -> str:
    return name if len(name) <= length else f'{name[: length - 1].rstrip()}…'
