"""Pictures reach the disk whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from cssa_mm.errors import ConfigError


def checked_picture(out: str | os.PathLike) -> Path:
    """The path of a picture that is to be written.

    Raises:
        ConfigError: no picture can be written under this name.
    """
    out = Path(out)
    suffixes = sorted(f'.{name}' for name in FigureCanvasBase.get_supported_filetypes())
    if out.suffix not in suffixes:
        raise ConfigError(f"--out: found '{out}', expected a name that ends with {', '.join(suffixes)}")
    return out


def save_figure(figure: Figure, out: Path, dpi: int = 110) -> Path:
    """Write a figure, in directories made as needed, and close it; returns `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f'{out.stem}.tmp{out.suffix}')
    figure.savefig(temporary, dpi=dpi)
    temporary.replace(out)
    plt.close(figure)
    return out
