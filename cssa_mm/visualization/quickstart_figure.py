"""The picture of a quickstart: learning curves, pseudo-label quality, and where the model looks."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use('Agg')

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from cssa_mm.visualization.attention import LabelAttention, attend, draw_attention
from cssa_mm.visualization.curves import validation_curve
from cssa_mm.visualization.style import save_figure

SCENES = 4
INK, MUTED, ACCENT, SECOND = '#1f2430', '#8b93a5', '#0b7a75', '#d1495b'


def draw_quickstart(work_dir: Path, config: str, data_root: str, out: Path) -> Path:
    """Draw `out` from the logs and the CSSA checkpoint below `work_dir`; returns its path."""
    checkpoint = (work_dir / 'cssa' / 'last_checkpoint').read_text().strip()
    scenes = attend(config, checkpoint, data_root, num_images=SCENES)
    figure = plt.figure(figsize=(12.5, 7.2), layout='constrained')
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.15))
    curves, quality = top.subplots(1, 2)
    _draw_curves(curves, work_dir)
    _draw_quality(quality, work_dir / 'cssa' / 'pseudo_labels.jsonl')
    _draw_scenes(bottom, scenes)
    return save_figure(figure, out)


def _draw_curves(axes: Axes, work_dir: Path) -> None:
    zero_shot = json.loads((work_dir / 'zero_shot' / 'metrics.json').read_text())['ema/mAP']
    axes.axhline(zero_shot, color=MUTED, linestyle=':', label='zero-shot')
    for key, colour, label in (
        ('labelled_only', SECOND, 'labelled-only'),
        ('cssa', ACCENT, 'CSSA'),
        ('cssa_plus', INK, 'cssa_plus'),
    ):
        curve = validation_curve(work_dir / key)
        if curve:
            axes.plot(*zip(*curve, strict=True), color=colour, marker='o', markersize=3.5, label=label)
    axes.set(title='mAP on the test scenes (EMA)', xlabel='training step')
    axes.legend(frameon=False, loc='lower right')
    _plain(axes)


def _draw_quality(axes: Axes, path: Path) -> None:
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    epochs = [record['epoch'] for record in records]
    for key, colour, label in (
        ('micro_precision', ACCENT, 'precision'),
        ('micro_recall', SECOND, 'recall'),
        ('masked_share', MUTED, 'share masked'),
    ):
        values = [np.nan if record[key] is None else 100 * record[key] for record in records]
        axes.plot(epochs, values, color=colour, marker='o', markersize=3.5, label=label)
    axes.set(title='Are the pseudo-labels any good? (per cent)', xlabel='epoch', ylim=(0, 100))
    axes.legend(frameon=False, loc='center right')
    _plain(axes)


def _draw_scenes(figure: plt.Figure, scenes: list[LabelAttention]) -> None:
    columns = 1 + max(len(scene.names) for scene in scenes)
    grid = figure.subplots(2, columns * ((len(scenes) + 1) // 2), squeeze=False)
    for axes in grid.flat:
        axes.axis('off')
    for index, scene in enumerate(scenes):
        row, column = index % 2, index // 2 * columns
        draw_attention(grid[row, column : column + columns], scene)


def _plain(axes: Axes) -> None:
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(colors=INK)
    axes.title.set_color(INK)
