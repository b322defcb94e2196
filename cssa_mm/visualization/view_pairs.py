"""A picture of images in their weak and strong view, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cssa_mm.visualization.style import ACCENT, INK, MUTED, new_figure, save_figure

PAIRS_A_ROW = 3


@dataclass(frozen=True)
class ViewPair:
    """One training image: its two views, uint8 (H, W, 3), and its known labels, in words."""

    image_id: str
    strong: np.ndarray
    weak: np.ndarray
    is_labelled: bool
    known: str


def draw_view_pairs(pairs: Sequence[ViewPair], out: Path) -> None:
    """Write the picture, one cell a pair: weak on the left, strong on the right, above them id and labels."""
    rows = -(-len(pairs) // PAIRS_A_ROW)
    figure = new_figure(4.4 * PAIRS_A_ROW, 2.6 * rows)
    cells = figure.subfigures(rows, PAIRS_A_ROW, squeeze=False, hspace=0.03, wspace=0.03).flat
    for cell, pair in zip(cells, pairs, strict=False):
        state = 'labelled' if pair.is_labelled else 'unlabelled'
        caption = textwrap.fill(f'{state}: {pair.known}', 58, max_lines=2)
        cell.suptitle(f'{pair.image_id}\n{caption}', fontsize=8, color=ACCENT if pair.is_labelled else MUTED)
        for axes, name, image in zip(cell.subplots(1, 2), ('weak', 'strong'), (pair.weak, pair.strong), strict=True):
            axes.imshow(image)
            axes.set_xlabel(name, fontsize=8, color=INK)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    save_figure(figure, out)
