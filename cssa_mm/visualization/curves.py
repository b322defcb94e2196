"""Reading the curves that mmengine's loggers wrote."""

from __future__ import annotations

import json
from pathlib import Path


def read_scalars(folder: Path) -> list[dict]:
    """The scalars of the newest training run below a work directory; empty where there is none."""
    for log in sorted(folder.glob('*/vis_data/scalars.json'), reverse=True):
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
        # A test that follows writes a log of its own, without training steps.
        if any('loss' in line for line in lines):
            return lines
    return []


def validation_curve(folder: Path, metric: str = 'ema/mAP') -> list[tuple[int, float]]:
    """(training step, value) of each validation of the newest run below a work directory."""
    curve, step = [], 0
    for line in read_scalars(folder):
        if 'loss' in line:
            step = line['iter']
        elif metric in line:
            curve.append((step, line[metric]))
    return curve
