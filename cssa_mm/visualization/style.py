"""Pictures reach the disk whole or not at all."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def save_figure(figure: Figure, out: Path, dpi: int = 110) -> Path:
    """Write a figure, in directories made as needed, and close it; returns `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f'{out.stem}.tmp{out.suffix}')
    figure.savefig(temporary, dpi=dpi)
    temporary.replace(out)
    plt.close(figure)
    return out
