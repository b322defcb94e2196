"""The scalars that a run logged, and the curves that they make."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cssa_mm.visualization.pages.report_data import Curve

FILE = 'vis_data/scalars.json'
WHO = dict(ema='EMA teacher', student='student')
PANELS = ('mAP', 'CF1')


class Scalars(NamedTuple):
    """Rows of the log: those of steps, with `epoch` and losses, and those of validations, whose `step` is the epoch."""

    steps: list[dict[str, Any]]
    validations: list[dict[str, Any]]


def read_scalars(work_dir: str | os.PathLike) -> Scalars:
    """Those of all starts of a run: a later start takes the place of an earlier one from its first step on."""
    steps: list[dict[str, Any]] = []
    validations: list[dict[str, Any]] = []
    for path in sorted(Path(work_dir).glob(f'*/{FILE}')):
        rows = [row for row in map(_row, path.read_text('utf-8', errors='replace').splitlines()) if row]
        trained = [row for row in rows if 'epoch' in row and 'step' in row]
        if not trained:  # a test
            continue
        first, step = min((row['epoch'], row['step']) for row in trained)
        steps = [row for row in steps if (row['epoch'], row['step']) < (first, step)] + trained
        validated = [row for row in rows if 'epoch' not in row and 'step' in row]
        validations = [row for row in validations if row['step'] < first] + validated
    return Scalars(steps, validations)


def curves_of(scalars: Scalars) -> dict[str, tuple[Curve, ...]]:
    """By panel: mAP and CF1 of the validations in per cent, and the losses, each the mean of an epoch."""
    panels: dict[str, tuple[Curve, ...]] = {}
    for panel in PANELS:
        names = sorted({key for row in scalars.validations for key in row if key.split('/')[-1] == panel})
        found = [_curve(WHO.get(who, who), name, scalars.validations) for name in names for who in [name.split('/')[0]]]
        if found:
            panels[panel] = tuple(found)
    names = sorted({key for row in scalars.steps for key in row if key.startswith('loss')})
    parts = [name for name in names if name != 'loss'] or names
    losses = [_losses(name.removeprefix('loss_'), name, scalars.steps) for name in parts]
    if losses:
        panels['loss'] = tuple(losses)
    return panels


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:  # the last line of a run that was killed
        return None
    if not isinstance(row, dict):
        return None
    # What is no number cannot be drawn; mmengine logs nothing else.
    return {key: value for key, value in row.items() if isinstance(value, int | float)}


def _curve(title: str, name: str, rows: Sequence[dict[str, Any]]) -> Curve:
    rows = [row for row in rows if name in row]
    return Curve(title, tuple(float(row['step']) for row in rows), tuple(float(row[name]) for row in rows))


def _losses(title: str, name: str, rows: Sequence[dict[str, Any]]) -> Curve:
    by_epoch: dict[int, list[float]] = {}
    for row in rows:
        if name in row:
            by_epoch.setdefault(row['epoch'], []).append(row[name])
    return Curve(title, tuple(map(float, by_epoch)), tuple(float(np.mean(values)) for values in by_epoch.values()))
