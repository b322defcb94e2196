"""Several runs side by side as a page in one file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from cssa_mm.visualization.pages.charts import epoch_curves
from cssa_mm.visualization.pages.page import render_page
from cssa_mm.visualization.pages.report_data import Curve, Report
from cssa_mm.visualization.pages.report_page import METRICS, number, sortable

TEACHER = 'EMA teacher'
PREFERRED = (TEACHER, 'labelled')  # of the curves of a panel
SMALLER_IS_BETTER = ('ECE', 'Brier')
HASHES = {
    'hash of the labelled images': 'The runs saw different labels.',
    'hash of the test images': 'The runs were tested on different images: their figures cannot be compared.',
}


class Cell(NamedTuple):
    """A figure of a run: its value, as text, whether it is the best, and the difference to the first run as text."""

    value: float
    text: str
    is_best: bool
    difference: str


def render_comparison(reports: Sequence[Report]) -> str:
    """The text of the page that shows runs side by side, the first one as the one that others are compared with."""
    names = [f'{place} {report.title}' for place, report in enumerate(reports, 1)]
    metrics = [name for name in (*METRICS, 'zero-shot mAP') if any(name in report.metrics for report in reports)]
    return render_page(
        'comparison',
        title=f'{", ".join(report.title for report in reports)} - comparison',
        shares='report',
        runs=list(zip(names, reports, strict=True)),
        notes=list(_notes(reports)),
        metrics=[
            (
                name,
                METRICS.get(name, 'of CLIP, untrained'),
                cells([report.metrics.get(name, math.nan) for report in reports], name not in SMALLER_IS_BETTER),
            )
            for name in metrics
        ],
        classes=list(_classes(reports)),
        charts=epoch_curves(_curves(names, reports)),
        settings=list(_facts(reports)),
        number=number,
        sortable=sortable,
    )


def cells(values: Sequence[float], larger_is_better: bool = True) -> list[Cell]:
    """A row of figures, shares from 0 to 1, in per cent."""
    shown = [round(100 * value, 1) for value in values if not math.isnan(value)]
    best = (max if larger_is_better else min)(shown) if shown else math.nan
    is_contest = len(set(shown)) > 1
    return [
        Cell(
            value,
            number(100 * value),
            is_contest and round(100 * value, 1) == best,
            '' if not place or math.isnan(value - values[0]) else f'{100 * (value - values[0]):+.1f}',
        )
        for place, value in enumerate(values)
    ]


def _classes(reports: Sequence[Report]) -> Iterator[tuple[str, list[Cell]]]:
    by_name = [{row.name: row.ap for row in report.classes} for report in reports]
    for name in dict.fromkeys(name for of_run in by_name for name in of_run):
        yield name, cells([of_run.get(name, math.nan) for of_run in by_name])


def _curves(names: Sequence[str], reports: Sequence[Report]) -> dict[str, list[Curve]]:
    """By panel, a curve a run: that of the teacher, or of labelled images, or the first."""
    panels: dict[str, list[Curve]] = {}
    for name, report in zip(names, reports, strict=True):
        for panel, curves in report.curves.items():
            curve = min(
                curves, key=lambda each: PREFERRED.index(each.name) if each.name in PREFERRED else len(PREFERRED)
            )
            title = f'{panel} ({curve.name})' if curve.name != TEACHER else panel
            panels.setdefault(title, []).append(Curve(name, curve.epochs, curve.values))
    return panels


def _facts(reports: Sequence[Report]) -> Iterator[tuple[str, list[str], bool]]:
    """Name of a setting or fact of the split, its value in each run, and whether they differ; those first."""
    tables = [dict((*report.settings, *report.split)) for report in reports]
    rows: list[tuple[str, list[str], bool]] = []
    for name in dict.fromkeys(name for table in tables for name in table):
        values: list[Any] = [table.get(name, '–') for table in tables]
        rows.append((name, values, len(set(values)) > 1))
    yield from sorted(rows, key=lambda row: not row[2])


def _notes(reports: Sequence[Report]) -> Iterator[str]:
    for name, note in HASHES.items():
        found = {dict(report.split).get(name) for report in reports} - {None}
        if len(found) > 1:
            yield note
    for place, report in enumerate(reports, 1):
        for note in dict.fromkeys([*report.notes, *(report.missing.get(part, '') for part in ('scores', 'curves'))]):
            if note:
                yield f'{place} {report.title}: {note}'
