"""The picture of a study: a point with its error for each row, or lines over what was swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, ScalarFormatter

from cssa_mm.visualization.saving import save_figure

INK, MUTED = '#1f2430', '#8b93a5'
COLOURS = ('#0b7a75', '#d1495b', '#30639b', '#c98a1b', '#7a4fa3', '#5c8a3a', '#1f2430')
WIDE = 15  # from this ratio of the largest to the smallest x the axis is logarithmic


def draw_study(summary: Mapping, out: Path) -> Path:
    """Draw `out` from the summary that `apis.study_report.report` returns; returns its path.

    Error bars are standard errors; a pale dot is one seed.
    """
    rows = [row for row in summary['rows'] if row['mAP'] is not None]
    swept = any(row['x'] is not None for row in rows)
    size = (7.5, 4.8) if swept else (8.5, 1.3 + 0.42 * len(rows))
    figure, axes = plt.subplots(figsize=size, layout='constrained')
    if swept:
        _draw_lines(axes, rows, summary['x_label'] or 'x')
    else:
        _draw_points(axes, rows)
    count = len(summary['seeds'])
    axes.set_title(f'{summary["title"]} ({count} seed{"s" if count > 1 else ""})', color=INK, loc='left', fontsize=11)
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(colors=INK)
    return save_figure(figure, out, dpi=120)


def _draw_points(axes: Axes, rows: Sequence[Mapping]) -> None:
    """No bars: the axis does not start at 0, where differences of one mAP could not be seen."""
    compared = {row['baseline'] for row in rows}
    for place, row in enumerate(rows):
        mean, error, values = row['mAP']['mean'], row['mAP']['standard_error'] or 0, row['mAP']['values']
        colour = COLOURS[1] if row['name'] in compared else COLOURS[0]
        axes.plot(values, [place] * len(values), 'o', color=colour, markersize=4, alpha=0.3, markeredgewidth=0)
        axes.errorbar(mean, place, xerr=error, fmt='o', color=colour, markersize=7, capsize=4, linewidth=1.8)
        axes.annotate(
            f'{mean:.1f}',
            (max(*values, mean + error), place),
            xytext=(9, 0),
            textcoords='offset points',
            va='center',
            color=INK,
            fontsize=9,
        )
        if row['name'] in compared:
            axes.axvline(mean, color=colour, linewidth=0.8, linestyle=':', zorder=0)
    axes.set_yticks(range(len(rows)), [row['title'] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.grid(axis='y', color=MUTED, alpha=0.2)
    axes.set_xlabel('mAP', color=INK)


def _draw_lines(axes: Axes, rows: Sequence[Mapping], x_label: str) -> None:
    lines: dict[str, list[Mapping]] = {}
    for row in rows:
        if row['x'] is not None:
            lines.setdefault(row['line'] or '', []).append(row)
    for number, (name, points) in enumerate(lines.items()):
        points = sorted(points, key=lambda row: row['x'])
        axes.errorbar(
            [row['x'] for row in points],
            [row['mAP']['mean'] for row in points],
            [row['mAP']['standard_error'] or 0 for row in points],
            color=COLOURS[number % len(COLOURS)],
            linestyle='-' if number < len(COLOURS) else '--',
            marker='o',
            markersize=4,
            capsize=3,
            label=name,
        )
    for row, style in zip([row for row in rows if row['x'] is None], (':', '--', '-.', (0, (1, 3))), strict=False):
        axes.axhline(row['mAP']['mean'], color=MUTED, linestyle=style, label=row['title'])
    values = sorted({row['x'] for row in rows if row['x'] is not None})
    if values[0] > 0 and values[-1] / values[0] >= WIDE:
        axes.set_xscale('log')
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
    if len(values) <= 12:
        axes.set_xticks(values, [f'{value:g}' for value in values])
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel('mAP', color=INK)
    axes.legend(frameon=False, fontsize=9)
