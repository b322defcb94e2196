"""Read the curves of a finished run, as mmengine's logger and the pseudo-label hook wrote them."""

from __future__ import annotations

import json
from pathlib import Path


def read_scalars(folder: Path) -> list[dict]:
    """The scalars of the newest training run below a work directory; empty if there is none."""
    for log in sorted(folder.glob('*/vis_data/scalars.json'), reverse=True):
        lines = _read_lines(log)
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


def pseudo_label_records(folder: Path) -> list[dict]:
    """The records in `pseudo_labels.jsonl` of a work directory, one per epoch; empty if there are none."""
    path = folder / 'pseudo_labels.jsonl'
    return _read_lines(path) if path.is_file() else []


def _read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text('utf-8').splitlines() if line.strip()]
