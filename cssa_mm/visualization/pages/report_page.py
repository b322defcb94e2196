"""The report of a run as a page in one file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cssa_mm.visualization.pages.charts import contexts_chart, epoch_curves, pseudo_label_chart, zero_shot_chart
from cssa_mm.visualization.pages.page import render_page
from cssa_mm.visualization.pages.report_data import ClassRow, Report

KINDS = dict(best='the best', worst='the worst', uncertain='the most uncertain')
METRICS = {
    'mAP': 'mean average precision',
    'CF1': 'F1, mean over the classes',
    'OF1': 'F1 over all labels',
    'ECE': 'calibration error',
    'Brier': 'squared error of scores',
}


class Column(NamedTuple):
    """A column of the table of classes: its head, what it means, the value of a row, and how it is written."""

    name: str
    title: str
    value: Callable[[ClassRow], Any]
    text: Callable[[ClassRow], str]
    is_bar: bool = False


def render_report(report: Report) -> str:
    """The text of the page that shows a run."""
    charts: dict[str, Any] = dict(curves=epoch_curves(report.curves))
    gain = gain_in_words(report)
    if gain:
        charts['zero_shot'] = zero_shot_chart(report.classes)
    if report.contexts is not None:
        charts['contexts'] = contexts_chart(report.contexts)
    if report.pseudo_labels:
        charts['pseudo_labels'] = pseudo_label_chart(report.pseudo_labels)
    return render_page(
        'report',
        title=f'{report.title} - report',
        report=report,
        charts=charts,
        columns=_columns(report),
        cards=_cards(report),
        gain=gain,
        images='labelled images that were held out' if report.is_held_out else 'test images',
        kinds=[(kind, text) for kind, text in KINDS.items() if any(kind in each.kinds for each in report.pictures)],
        shown_classes=sorted({label.name for picture in report.pictures for label in picture.labels}),
        pooled=any(row.source == 'pooled' for row in report.classes),
        truth_is_known=any(not math.isnan(epoch.precision) for epoch in report.pseudo_labels),
        number=number,
        sortable=sortable,
    )


def number(value: float | None, digits: int = 1) -> str:
    """A number for readers; a dash for None and nan."""
    return '–' if value is None or math.isnan(value) else f'{value:,.{digits}f}'


def sortable(value: float | None) -> str:
    """A number for the script that sorts; nothing for None and nan."""
    return '' if value is None or math.isnan(value) else f'{value:.6g}'


def gain_in_words(report: Report) -> str:
    """How the run compares with zero-shot CLIP, paired by class; '' where nothing can be compared."""
    gains = np.array([100 * (row.ap - row.zero_shot_ap) for row in report.classes])
    gains = gains[np.isfinite(gains)]
    if not len(gains):
        return ''
    error = f' ± {gains.std(ddof=1) / len(gains) ** 0.5:.1f} (standard error over classes)' if len(gains) > 1 else ''
    return (
        f'Paired by class, average precision changes by {gains.mean():+.1f}{error}: {int((gains > 0).sum())} of '
        f'{len(gains)} classes gain, {int((gains < 0).sum())} lose.'
    )


def _columns(report: Report) -> list[Column]:
    def share(name: str, title: str, attribute: str, is_bar: bool = False) -> Column:
        value = lambda row: getattr(row, attribute)  # noqa: E731
        return Column(name, title, value, lambda row: number(100 * value(row)), is_bar)

    def count(name: str, title: str, attribute: str) -> Column:
        value = lambda row: getattr(row, attribute)  # noqa: E731
        return Column(name, title, value, lambda row: number(value(row), 0))

    columns = [
        share('AP', 'average precision', 'ap', is_bar=True),
        share('zero-shot', 'average precision of zero-shot CLIP', 'zero_shot_ap'),
        Column(
            'gain',
            'average precision above that of zero-shot CLIP',
            lambda row: row.ap - row.zero_shot_ap,
            lambda row: '–' if math.isnan(row.ap - row.zero_shot_ap) else f'{100 * (row.ap - row.zero_shot_ap):+.1f}',
        ),
        share('precision', 'of the labels that the model gives', 'precision'),
        share('recall', 'of the labels that are there', 'recall'),
        Column(
            'threshold',
            'score from which an image gets the label',
            lambda row: row.threshold,
            lambda row: number(100 * row.threshold) + ('*' if row.source == 'pooled' else ''),
        ),
        share('calibration error', 'how far scores are from the share of positives', 'calibration_error'),
        count('images' if report.is_held_out else 'test images', 'that show the class', 'positives'),
    ]
    if not report.is_held_out and any(row.labelled is not None for row in report.classes):
        columns.append(count('labelled', 'labelled training images that show the class', 'labelled'))
    if any(not math.isnan(row.pseudo_recall) for row in report.classes):
        columns.append(share('pseudo precision', 'of the pseudo-labels of the last epoch', 'pseudo_precision'))
        columns.append(share('pseudo recall', 'of the pseudo-labels of the last epoch', 'pseudo_recall'))
    return columns


def _cards(report: Report) -> list[tuple[str, str, str]]:
    cards = [
        (name, number(100 * report.metrics[name]), text) for name, text in METRICS.items() if name in report.metrics
    ]
    zero_shot = report.metrics.get('zero-shot mAP')
    if zero_shot is not None:
        cards.insert(1, ('zero-shot mAP', number(100 * zero_shot), 'of CLIP, untrained'))
    return cards
