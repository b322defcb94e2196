"""The picture of a run's pseudo-labels: quality by epoch and by class, and calibration of the scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cssa_mm.visualization.style import ACCENT, DOTS, INK, MUTED, SECOND, new_figure, plain_axes, save_figure

NAMED = 3


def draw_pseudo_labels(records: Sequence[dict], out: Path) -> None:
    """Write the picture of the epochs `records`, as `pseudo_labels.jsonl` has them, with nan for None.

    If the truth of the unlabelled images is unknown, it shows counts and thresholds only.
    """
    last = records[-1]
    knows = sum(last['reliability']['count']) > 0
    figure = new_figure(12.5, 7.6 if knows else 4.2)
    axes = figure.subplots(2 if knows else 1, 2, squeeze=False).flat
    if knows:
        _draw_epochs(axes[0], records)
        _draw_reliability(axes[1], last)
        _draw_classes(axes[2], last, last['positive_thresholds'], 'positive threshold of the class')
        _draw_classes(axes[3], last, last['labelled_positives'], 'labelled positives of the class')
    else:
        _draw_counts(axes[0], records)
        _draw_count_of_classes(axes[1], last)
        figure.suptitle('The truth of the unlabelled images is not known: counts and thresholds only', color=MUTED)
    for panel in axes:
        plain_axes(panel)
    save_figure(figure, out)


def _draw_epochs(axes: Axes, records: Sequence[dict]) -> None:
    for key, colour, label in (
        ('micro_precision', ACCENT, 'precision'),
        ('micro_recall', SECOND, 'recall'),
        ('CF1', INK, 'CF1'),
        ('masked_share', MUTED, 'share masked'),
    ):
        values = [100 * record[key] for record in records]
        axes.plot([record['epoch'] for record in records], values, color=colour, label=label, **DOTS)
    axes.set(title='Pseudo-labels over the epochs (per cent)', xlabel='epoch', ylim=(-2, 102))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, ncols=2)


def _draw_reliability(axes: Axes, record: dict) -> None:
    """Bars: share of positives by score; a calibrated teacher's end on the diagonal. Line: how many cells there are."""
    table = record['reliability']
    count = np.array(table['count'])
    edges = np.linspace(0, 1, len(count) + 1)
    axes.bar(edges[:-1], table['positive'], width=0.9 / len(count), align='edge', color=ACCENT, alpha=0.75)
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=':')
    axes.plot(table['score'], table['positive'], color=INK, linestyle='none', **DOTS)
    for left, share, cells in zip(edges, table['positive'], count, strict=False):
        if cells:
            place = (left + 0.45 / len(count), share)
            axes.annotate(f'{cells:,}', place, (0, 4), textcoords='offset points', ha='center', fontsize=7, color=MUTED)
    error = 100 * record['overall_calibration_error']
    axes.set(
        title=f'Do the scores mean what they say? (calibration error {error:.1f} %)',
        xlabel="teacher's score; above the bars: cells",
        ylabel='share that is positive',
        xlim=(0, 1),
        ylim=(0, 1.08),
    )


def _draw_classes(axes: Axes, record: dict, places: Sequence[float], label: str) -> None:
    """Precision and recall of each class over its place on the x axis; a line joins the two."""
    x, precision, recall = (_spread(places), *(np.array(record[key], float) for key in ('precision', 'recall')))
    axes.vlines(x, 100 * precision, 100 * recall, color=MUTED, linewidth=0.6)
    axes.plot(x, 100 * precision, 'o', color=ACCENT, markersize=5, label='precision')
    axes.plot(x, 100 * recall, 'o', color=SECOND, markersize=5, label='recall')
    worst = np.argsort(np.nan_to_num(np.array(record['F1'], float), nan=np.inf), kind='stable')[:NAMED]
    for number, c in enumerate(sorted(worst[np.isfinite(x[worst])], key=lambda c: x[c])):
        low = 100 * np.nanmin([precision[c], recall[c], 1])
        # One below the other: neighbours would write over each other.
        below = (0, -11 - 13 * number)
        name = record['class_names'][c]
        axes.annotate(name, (x[c], low), below, textcoords='offset points', ha='center', fontsize=8, color=INK)
    axes.margins(x=0.1)  # for the names of classes at the edge
    axes.set(title=f'Classes of epoch {record["epoch"]} (per cent)', xlabel=label, ylim=(-12, 104))
    axes.legend(frameon=False)
    if not np.isfinite(x).any():
        axes.text(0.5, 0.5, 'this policy has no thresholds per class', ha='center', transform=axes.transAxes)


def _spread(places: Sequence[float]) -> np.ndarray:
    """Places (C,) with equal ones a little apart, so that each class is seen."""
    x = np.array(places, float)
    seen: dict[float, int] = {}
    step = 0.008 * np.ptp(x[np.isfinite(x)]) if np.isfinite(x).any() else 0
    for c, place in enumerate(x.tolist()):
        x[c] += step * seen.get(place, 0)
        seen[place] = seen.get(place, 0) + 1
    return x


def _draw_counts(axes: Axes, records: Sequence[dict]) -> None:
    epochs = [record['epoch'] for record in records]
    for key, colour, label in (('positives', ACCENT, 'positive'), ('masked', MUTED, 'masked')):
        axes.plot(epochs, [sum(record[key]) for record in records], color=colour, label=label, **DOTS)
    axes.set(title='Pseudo-labels over the epochs', xlabel='epoch', ylabel='cells')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _draw_count_of_classes(axes: Axes, record: dict) -> None:
    thresholds = np.array(record['positive_thresholds'], float)
    points = axes.scatter(
        record['labelled_positives'],
        record['positives'],
        c=np.nan_to_num(thresholds, nan=0),
        cmap='viridis',
        vmin=0,
        vmax=1,
    )
    axes.figure.colorbar(points, ax=axes, label='positive threshold (0: none)')
    axes.set(title=f'Classes of epoch {record["epoch"]}', xlabel='labelled positives', ylabel='positive pseudo-labels')
