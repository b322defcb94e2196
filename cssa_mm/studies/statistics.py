"""The numbers of a study: means, standard errors, and comparisons of rows.

`runs` is seed -> the content of a run's `result.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from cssa_mm.studies.spec import Row, Study

Runs = Mapping[int, Mapping]
POSITIVES = ('0', '1', '2', '3 or more')


def statistics(values: Sequence[float]) -> dict:
    """Mean, its standard error (None of a single value), and the values."""
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return dict(mean=float(np.mean(values)), standard_error=error, values=[float(value) for value in values])


def baseline_of(study: Study, row: Row, rows: Sequence[Row]) -> Row | None:
    """The baseline of a row among `rows`; None where it has not been run, or is the row itself."""
    trained = next((other for other in study.rows if other.kind == 'train'), study.rows[0])
    found = _called(row.baseline or study.baseline or trained.line or trained.name, row, rows)
    return None if found is row else found


def references_of(study: Study, row: Row, rows: Sequence[Row]) -> list[Row]:
    """The references of a row among `rows`; empty if one of them has not been run, or the row is one itself."""
    if row.name in study.references or row.line in study.references:
        return []
    called = [_called(name, row, rows) for name in study.references]
    found = [other for other in called if other is not None]
    return found if len(found) == len(called) else []


def _called(name: str, row: Row, rows: Sequence[Row]) -> Row | None:
    """The row of this name, or the point of this line at the x of another row."""
    return next((other for other in rows if other.name == name or (other.line == name and other.x == row.x)), None)


def difference(runs: Runs, baseline: Runs) -> dict | None:
    """Statistics of the paired difference in mAP, over the seeds that both have."""
    common = sorted(runs.keys() & baseline.keys())
    return statistics([runs[seed]['mAP'] - baseline[seed]['mAP'] for seed in common]) if common else None


def ceiling_of(study: Study, row: Row, rows: Sequence[Row]) -> Row | None:
    """The ceiling of a row among `rows`; None if there is none."""
    return None if study.ceiling is None else _called(study.ceiling, row, rows)


def share_of_way(runs: Runs, baseline: Runs, ceiling: Runs) -> float | None:
    """Which share of the distance in mean mAP from baseline to ceiling a row covers, over common seeds."""
    seeds = _common_seeds(runs, [baseline, ceiling])
    if not seeds:
        return None
    own, start, end = (np.mean([some[seed]['mAP'] for seed in seeds]) for some in (runs, baseline, ceiling))
    return float((own - start) / (end - start)) if end != start else None


def first_of_line(row: Row, rows: Sequence[Row]) -> Row | None:
    """The first point of a row's line; None for that point itself and for rows outside all lines."""
    if row.x is None:
        return None
    points = [(other.x, other) for other in rows if other.line == row.line and other.x is not None]
    _, found = min(points, key=lambda point: point[0])
    return None if found is row else found


def change_over_baseline(runs: Runs, start: Runs, baseline: Runs, baseline_start: Runs) -> dict | None:
    """Statistics of the change in mAP since the start minus the baseline's own, over the seeds that all four have."""
    values = [
        (runs[seed]['mAP'] - start[seed]['mAP']) - (baseline[seed]['mAP'] - baseline_start[seed]['mAP'])
        for seed in _common_seeds(runs, (start, baseline, baseline_start))
    ]
    return statistics(values) if values else None


def worth(mean: float, line: Sequence[tuple[float, float]]) -> dict:
    """Where a line of points (x, mAP) first reaches a mean, between two points on a logarithmic scale of x.

    Returns:
        x, and beyond: '<' for a mean below the first point, '>' for one that no point reaches, else ''.
    """
    line = sorted(line)
    if mean < line[0][1]:
        return dict(x=line[0][0], beyond='<')
    for (x0, y0), (x1, y1) in pairwise(line):
        if y0 <= mean <= y1:
            share = (mean - y0) / (y1 - y0) if y1 > y0 else 0.0
            return dict(x=float(x0 * (x1 / x0) ** share), beyond='')
    return dict(x=line[-1][0], beyond='>')


def over_references(runs: Runs, references: Sequence[Runs], measure: str = 'mAP') -> dict | None:
    """Statistics of a measure minus that of the best reference of the same seed, over the seeds that all have."""
    seeds = _common_seeds(runs, references)
    if not seeds:
        return None
    return statistics([runs[seed][measure] - max(other[seed][measure] for other in references) for seed in seeds])


def class_differences(runs: Runs, references: Sequence[Runs]) -> dict[str, float] | None:
    """Class -> its mean AP minus the best mean AP of the references, the lowest first; None without common seeds."""
    seeds = _common_seeds(runs, references)
    if not seeds:
        return None

    def average(some: Runs, name: str) -> float:
        return float(np.mean([some[seed]['AP'][name] for seed in seeds]))

    names = [name for name in runs[seeds[0]]['AP'] if all(name in other[seeds[0]]['AP'] for other in references)]
    found = {name: average(runs, name) - max(average(other, name) for other in references) for name in names}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _common_seeds(runs: Runs, references: Sequence[Runs]) -> list[int]:
    return sorted(set(runs).intersection(*references)) if references else []


def by_labelled_positives(rows: Sequence[Row], by_row: Mapping[str, Runs]) -> list[dict]:
    """Mean AP of each row, or of a line over all x, in the classes with 0, 1, 2 and more labelled positives.

    A cell is a class in a run. Zero-shot uses no split: unless it is a line, its cells are counted by the splits of all
    other rows.

    Returns:
        For each row or line a dict of its title, and cells and AP (None without cells) for each of `POSITIVES`; empty
        where every class has three or more, or no run has counted them.
    """
    others = [row for row in rows if not _splitless(row)]
    splits = {
        (row.x, seed): counts for row in others for seed, run in by_row[row.name].items() for counts in _counts(run)
    }
    groups: dict[str, list[list[float]]] = {}
    for row in rows:
        cells = groups.setdefault(row.line or row.title, [[] for _ in POSITIVES])
        for seed, run in by_row[row.name].items():
            found = _counts(run)
            if _splitless(row):
                found = [counts for (_, other), counts in splits.items() if other == seed] or found
            for counts in found:
                for name in filter(counts.__contains__, run['AP']):
                    cells[min(counts[name], len(POSITIVES) - 1)].append(run['AP'][name])
    if not any(values for cells in groups.values() for values in cells[:-1]):
        return []
    return [
        dict(
            title=title,
            cells=dict(zip(POSITIVES, map(len, cells), strict=True)),
            AP={key: float(np.mean(v)) if v else None for key, v in zip(POSITIVES, cells, strict=True)},
        )
        for title, cells in groups.items()
    ]


def _counts(run: Mapping) -> list[Mapping[str, int]]:
    # Results of earlier versions don't have them.
    return [run['labelled_positives']] if 'labelled_positives' in run else []


def _splitless(row: Row) -> bool:
    return row.kind == 'zero_shot' and row.x is None
