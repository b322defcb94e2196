"""The picture of a study: a point with its error for each row, or lines over x."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from cssa_mm.visualization.style import COLOURS, INK, MUTED, new_figure, plain_axes, save_figure

WIDE = 15  # from this ratio of the largest to the smallest x the axis is logarithmic


def draw_study(summary: Mapping, out: Path) -> Path:
    """Write the figure of the summary that `studies.report.report` returns; returns its path."""
    return save_figure(study_figure(summary), out)


def study_figure(summary: Mapping) -> Figure:
    """Points of rows, or lines over x.

    Error bars are standard errors; a pale dot is one seed. Lines that are all compared with the same row are drawn
    as their paired differences from it: variation that the lines share would hide how they differ.
    """
    rows = [row for row in summary['rows'] if row['mAP'] is not None]
    swept = any(row['x'] is not None for row in rows)
    size = (9.5, 4.8) if swept else (8.5, 1.3 + 0.42 * len(rows))
    figure = new_figure(*size)
    axes = figure.subplots()
    if swept:
        _draw_lines(axes, rows, summary['x_label'] or 'x')
    else:
        _draw_points(axes, rows)
    count = len(summary['seeds'])
    title = textwrap.fill(f'{summary["title"]} ({count} seed{"s" if count > 1 else ""})', width=80)
    axes.set_title(title, color=INK, loc='left', fontsize=11)
    plain_axes(axes)
    return figure


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
    values = sorted({row['x'] for row in rows if row['x'] is not None})
    if values[0] > 0 and values[-1] / values[0] >= WIDE:
        axes.set_xscale('log')
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
    common = _common_baseline(rows)
    for number, (name, points) in enumerate(lines.items()):
        points = sorted(points, key=lambda row: row['x'])
        found = [row['mAP' if common is None else 'difference'] for row in points]
        axes.errorbar(
            _aside([row['x'] for row in points], values, (number - (len(lines) - 1) / 2) / 100, axes.get_xscale()),
            [result['mean'] for result in found],
            [result['standard_error'] or 0 for result in found],
            color=COLOURS[number % len(COLOURS)],
            linestyle='-' if number < len(COLOURS) else '--',
            marker='o',
            markersize=4,
            capsize=3,
            label=name,
        )
    if common is None:
        for row, style in zip([row for row in rows if row['x'] is None], (':', '--', '-.', (0, (1, 3))), strict=False):
            axes.axhline(row['mAP']['mean'], color=MUTED, linestyle=style, label=row['title'])
    else:
        axes.axhline(0, color=MUTED, linestyle=':', label=common)
    if len(values) <= 12:
        axes.set_xticks(values, [f'{value:g}' for value in values])
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel('mAP' if common is None else f'mAP minus that of: {common}', color=INK)
    axes.legend(frameon=False, fontsize=9, loc='upper left', bbox_to_anchor=(1.01, 1))


def _aside(x: Sequence[float], values: Sequence[float], share: float, scale: str) -> list[float]:
    """Moved by a share of the axis, so that lines stand side by side where they meet."""
    if scale == 'log':
        return [value * (values[-1] / values[0]) ** share for value in x]
    return [value + share * (values[-1] - values[0]) for value in x]


def _common_baseline(rows: Sequence[Mapping]) -> str | None:
    """The title of the row outside all lines that every point is compared with; None if there is none."""
    compared = {row['baseline'] for row in rows if row['x'] is not None}
    found = [row['title'] for row in rows if row['x'] is None and {row['name']} == compared]
    return found[0] if found else None
