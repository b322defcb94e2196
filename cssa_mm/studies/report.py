"""The files that a study writes into its work directory beside its runs.

table.md, summary.json   mean, standard error and paired differences of each row, in mAP and in labels (CF1, OF1); the
                         classes that fall below the references; AP by the number of labelled positives
runs.csv                 one line for each run
classes.csv              one line for each row and class
study.png                a point with its standard error for each row, or lines over x
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cssa_mm.files import replacing, write_json, write_text
from cssa_mm.studies import tables
from cssa_mm.studies.spec import Row, Study
from cssa_mm.studies.statistics import (
    Runs,
    baseline_of,
    by_labelled_positives,
    ceiling_of,
    change_over_baseline,
    class_differences,
    difference,
    first_of_line,
    over_references,
    references_of,
    share_of_way,
    statistics,
    worth,
)
from cssa_mm.visualization.study_figure import draw_study

METRICS = (
    'mAP', 'CF1', 'OF1', 'ECE', 'raw_ECE', 'Brier', 'raw_Brier', 'pseudo_precision', 'pseudo_recall', 'pseudo_masked',
    'seconds', 'step_seconds', 'memory_mib',
)  # fmt: skip
FALL = 2.0  # AP that a class may lose to the best of the references before the report names it


def report(study: Study, rows: Sequence[Row], seeds: Sequence[int], results: Sequence[Mapping], work_dir: Path) -> dict:
    """Write all files and print the tables of a study with some of its rows; returns the summary.

    Args:
        study: the study.
        rows: the rows that were asked for.
        seeds: the seeds that were asked for.
        results: the content of each `result.json`.
        work_dir: where the files go.
    """
    by_row = {row.name: {r['seed']: r for r in results if r['row'] == row.name} for row in rows}
    done = [row for row in rows if by_row[row.name]]
    summary: dict[str, Any] = dict(study=study.name, title=study.title, x_label=study.x_label, seeds=list(seeds))
    summary |= dict(references=list(study.references), fall=FALL, ceiling=study.ceiling, worth=study.worth)
    summary['rows'] = [_entry(study, row, done, by_row) for row in done]
    summary['by_labelled_positives'] = by_labelled_positives(done, by_row)
    _write_csv(work_dir / 'runs.csv', ['study', 'row', 'line', 'x', 'seed', *METRICS], _run_lines(study, done, by_row))
    header = ['study', 'row', 'line', 'x', 'class', 'seeds', 'AP', 'standard_error', 'difference']
    _write_csv(work_dir / 'classes.csv', header, _class_lines(study, done, by_row))
    write_json(work_dir / 'summary.json', summary)
    write_text(work_dir / 'table.md', tables.markdown(summary))
    picture = draw_study(summary, work_dir / 'study.png')
    title = f'{study.title}, {len(seeds)} seed{"s" if len(seeds) > 1 else ""}'
    print(f'\n{title}\n{tables.plain(summary)}\n\npicture: {picture}')
    versions = {result.get('code') for result in results}
    if len(versions) > 1:
        print(f'These runs come from {len(versions)} versions of the code; without --keep-results, old ones run again.')
    return summary


def _entry(study: Study, row: Row, rows: Sequence[Row], by_row: Mapping[str, Runs]) -> dict:
    """The entry of a row in the summary."""
    runs, baseline = by_row[row.name], baseline_of(study, row, rows)
    references = [by_row[other.name] for other in references_of(study, row, rows)]
    entry: dict[str, Any] = dict(name=row.name, title=row.title, line=row.line, x=row.x, seeds=sorted(runs))
    for name in METRICS:
        values = [runs[seed][name] for seed in sorted(runs)]
        entry[name] = None if None in values else statistics(values)
    entry['baseline'] = None if baseline is None else baseline.name
    entry['compared_with'] = None if baseline is None else baseline.line or baseline.title
    entry['difference'] = None if baseline is None else difference(runs, by_row[baseline.name])
    others = by_row[baseline.name] if baseline is not None and study.by_seed else {}
    entry['by_seed'] = {str(seed): runs[seed]['mAP'] - others[seed]['mAP'] for seed in sorted(runs) if seed in others}
    entry['over_references'] = over_references(runs, references)
    entry |= {f'{name}_over_references': over_references(runs, references, name) for name in ('CF1', 'OF1')}
    classes = class_differences(runs, references)
    worst = next(iter(classes.items()), None) if classes else None
    entry['worst_class'] = None if worst is None else dict(zip(('name', 'difference'), worst, strict=True))
    fallen = {name: value for name, value in (classes or {}).items() if value < -FALL}
    entry['fallen'] = fallen if classes is not None and row.kind == 'train' else None
    return entry | _further(study, row, rows, by_row)


def _further(study: Study, row: Row, rows: Sequence[Row], by_row: Mapping[str, Runs]) -> dict:
    """The entries of a row that only some studies ask for; None where the study does not, or rows are missing."""
    runs, baseline = by_row[row.name], baseline_of(study, row, rows)
    found: dict[str, Any] = dict.fromkeys(('share_of_way', 'worth', 'change', 'change_over_baseline'))
    ceiling = ceiling_of(study, row, rows)
    if baseline is not None and ceiling is not None and ceiling is not row:
        found['share_of_way'] = share_of_way(runs, by_row[baseline.name], by_row[ceiling.name])
    line = [other for other in rows if other.line == study.worth] if study.worth else []
    if line and row.line != study.worth:
        means = [(other.x, _mean(by_row[other.name])) for other in line if other.x is not None]
        found['worth'] = worth(_mean(runs), means)
    start = first_of_line(row, rows) if study.since_first else None
    if start is not None:
        found['change'] = difference(runs, by_row[start.name])
        other = None if baseline is None else first_of_line(baseline, rows)
        if baseline is not None and other is not None:
            four = (by_row[some.name] for some in (row, start, baseline, other))
            found['change_over_baseline'] = change_over_baseline(*four)
    return found


def _mean(runs: Runs) -> float:
    return float(np.mean([run['mAP'] for run in runs.values()]))


def _run_lines(study: Study, rows: Sequence[Row], by_row: Mapping[str, Runs]) -> list[list]:
    return [
        [study.name, row.name, row.line, row.x, seed, *(run[name] for name in METRICS)]
        for row in rows
        for seed, run in sorted(by_row[row.name].items())
    ]


def _class_lines(study: Study, rows: Sequence[Row], by_row: Mapping[str, Runs]) -> list[list]:
    lines = []
    for row in rows:
        runs, baseline = by_row[row.name], baseline_of(study, row, rows)
        others = by_row[baseline.name] if baseline is not None else {}
        for name in next(iter(runs.values()))['AP']:
            values = statistics([run['AP'][name] for run in runs.values()])
            common = [run['AP'][name] - others[seed]['AP'][name] for seed, run in runs.items() if seed in others]
            gain = float(np.mean(common)) if common else None
            lines.append(
                [study.name, row.name, row.line, row.x, name, len(runs), values['mean'], values['standard_error'], gain]
            )
    return lines


def _write_csv(path: Path, header: Sequence[str], lines: Sequence[Sequence]) -> None:
    with replacing(path) as partial, partial.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([header, *lines])
