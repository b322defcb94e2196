"""One style for all figures: colours, axes, and pictures that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cssa_mm.errors import ConfigError
from cssa_mm.files import replacing

INK, MUTED, ACCENT, SECOND = '#1f2430', '#8b93a5', '#0b7a75', '#d1495b'
# For figures with many lines; most figures use the first two only.
COLOURS = (ACCENT, SECOND, '#30639b', '#c98a1b', '#7a4fa3', '#5c8a3a', INK)
DOTS: dict[str, Any] = dict(marker='o', markersize=3.5)
DOTS_PER_INCH = 110


def new_figure(width: float, height: float, layout: Literal['constrained'] | None = 'constrained') -> Figure:
    """An empty figure of a size in inches.

    It needs no display and is unknown to pyplot: a notebook's own backend and figures stay as they are.
    """
    figure = Figure((width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes) -> None:
    """Hide the frame except for the two axes, and draw ticks and title in ink."""
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(colors=INK)
    axes.title.set_color(INK)


def save_figure(figure: Figure, out: str | os.PathLike) -> Path:
    """Write a figure, in directories made as needed; returns the path."""
    with replacing(out) as partial:
        figure.savefig(partial, dpi=DOTS_PER_INCH)
    return Path(out)


def figure_pixels(figure: Figure) -> np.ndarray:
    """A figure as pixels, uint8 (H, W, 3), RGB, of the size in which it would be written."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(DOTS_PER_INCH)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def picture_suffixes() -> list[str]:
    """The file name endings that can be written."""
    return sorted(f'.{name}' for name in FigureCanvasAgg.get_supported_filetypes())


def checked_picture(out: str | os.PathLike) -> Path:
    """The path of a picture that is to be written.

    Raises:
        ConfigError: no picture can be written under this name.
    """
    if Path(out).suffix not in picture_suffixes():
        raise ConfigError(f"--out: found '{out}', expected a name that ends with {', '.join(picture_suffixes())}")
    return Path(out)
