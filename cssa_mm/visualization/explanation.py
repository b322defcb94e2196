"""Where a model looked in one image: a value, and how a panel of it is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from cssa_mm.visualization.style import ACCENT, INK, MUTED, SECOND

COLOURS = 'magma'


@dataclass(frozen=True)
class Explanation:
    """An image, and where a model looked for K labels in it.

    Attributes:
        image: uint8 (H, W, 3), RGB; a large photo is reduced.
        names: of the K labels, those that reach their threshold first, and among them the best first.
        scores: calibrated, from 0 to 1.
        thresholds: the lowest scores at which an image gets the label; nan for a model that was never trained.
        maps: float32 (K, H, W), from 0 to 1.
        peaks: float (K, 2), x and y of the middle of the highest cell, in pixels of `image`.
        rule: one sentence on how the maps were made.
        path: of the image; None if it was not given as a path.
        is_true: of each label whether the image shows it, None where nobody has said so; None of no label.
    """

    image: np.ndarray
    names: tuple[str, ...]
    scores: tuple[float, ...]
    thresholds: tuple[float, ...]
    maps: np.ndarray
    peaks: np.ndarray
    rule: str
    path: str | None = None
    is_true: tuple[bool | None, ...] | None = None

    @property
    def reached(self) -> tuple[bool, ...]:
        """Which labels reach their threshold; none without thresholds."""
        return tuple(score >= threshold for score, threshold in zip(self.scores, self.thresholds, strict=True))

    def verdict(self, number: int) -> str:
        """Score and threshold of a label, in words."""
        score, threshold = self.scores[number], self.thresholds[number]
        if math.isnan(threshold):
            return f'{score:.2f}, never trained'
        if score >= threshold:
            return f'{score:.2f}, threshold {threshold:.2f}'
        return f'{score:.2f}, below its threshold {threshold:.2f}'


class CellMap(NamedTuple):
    """Values (h, w) of the cells of a grid over an image.

    rows: centres (h,) of the cells, as shares of the height of the image.
    columns: centres (w,), as shares of its width.
    """

    values: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    def spread(self, size: Sequence[int]) -> np.ndarray:
        """The map over an image of (H, W) pixels, float32 from 0 to 1; all 0 for equal cells.

        Each cell stands at its centre, and between two of them the map is eased: no pixel is higher than the cells
        around it, so that the peak stays at its cell. Beyond the outer cells it falls to the minimum within one cell:
        nothing is known there, and a cell that was repeated up to the edge would look like a streak.
        """
        low, high = float(self.values.min()), float(self.values.max())
        if high <= low:
            return np.zeros((size[0], size[1]), np.float32)
        padded = np.pad((self.values - low) / (high - low), 1)
        return (_weights(self.rows, size[0]) @ padded @ _weights(self.columns, size[1]).T).astype(np.float32)

    def peak(self, size: Sequence[int]) -> tuple[float, float]:
        """x and y of the centre of the highest cell, in pixels of an image of (H, W)."""
        row, column = np.unravel_index(int(np.argmax(self.values)), self.values.shape)
        return float(self.columns[column] * size[1]), float(self.rows[row] * size[0])


def _weights(centres: np.ndarray, length: int) -> np.ndarray:
    """Weights (length, n + 2) of n cells, and of one more on both sides, for each pixel of an axis."""
    step = float(np.diff(centres).mean()) if len(centres) > 1 else 1.0
    knots = np.concatenate([[centres[0] - step], centres, [centres[-1] + step]])
    pixels = (np.arange(length) + 0.5) / length
    after = np.clip(np.searchsorted(knots, pixels), 1, len(knots) - 1)
    share = np.clip((pixels - knots[after - 1]) / (knots[after] - knots[after - 1]), 0, 1)
    share = share * share * (3 - 2 * share)  # flat at the cells: no corners
    weights = np.zeros((length, len(knots)))
    weights[np.arange(length), after - 1] = 1 - share
    weights[np.arange(length), after] += share
    return weights


def draw_label(axes: Axes, explanation: Explanation, number: int, title: str, **options: Any) -> None:
    """Draw one label: the image, the map over it, a ring at the peak, and above them a title.

    The title is red where the label is known to be wrong, and grey where it is below its threshold.

    Args:
        axes: to draw into.
        explanation: of the image.
        number: of the label.
        title: without mathematics: '$' is a dollar.
        options: of matplotlib's `set_title`.
    """
    draw_heat(axes, explanation.image, explanation.maps[number])
    (x, y) = explanation.peaks[number]
    effects = [withStroke(linewidth=3.5, foreground=INK)]
    axes.plot(
        x, y, 'o', markersize=9, markerfacecolor='none', markeredgecolor='white', path_effects=effects, clip_on=False
    )
    frame(axes, explanation.image)
    colour = ACCENT if explanation.reached[number] or math.isnan(explanation.thresholds[number]) else MUTED
    is_true = None if explanation.is_true is None else explanation.is_true[number]
    if is_true is not None:
        colour = ACCENT if is_true else SECOND
    settings: dict[str, Any] = dict(fontsize=10, color=colour, parse_math=False)
    axes.set_title(title, **settings | options)


def draw_heat(axes: Axes, image: np.ndarray, heat: np.ndarray) -> None:
    """Draw an image (H, W, 3) and over it a map (H, W) from 0 to 1; the corner of the image is (0, 0)."""
    extent = (0, image.shape[1], image.shape[0], 0)
    axes.imshow(image, extent=extent)
    axes.imshow(heat, cmap=COLOURS, alpha=opacity(heat), vmin=0, vmax=1, extent=extent)


def opacity(heat: np.ndarray) -> np.ndarray:
    """How much a map (H, W) from 0 to 1 hides of the image below it."""
    return 0.62 * heat + 0.12


def blend(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """What `draw_heat` draws, as pixels: uint8 (H, W, 3)."""
    alpha = opacity(heat)[..., None]
    colours = matplotlib.colormaps[COLOURS](heat)[..., :3]
    return (255 * ((1 - alpha) * image / 255 + alpha * colours)).round().astype(np.uint8)


def frame(axes: Axes, image: np.ndarray) -> None:
    """Cut the axes to the image, without ticks and lines."""
    axes.set(xticks=[], yticks=[], xlim=(0, image.shape[1]), ylim=(image.shape[0], 0))
    axes.spines[:].set_visible(False)
