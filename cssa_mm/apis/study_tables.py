"""The tables of a study as text, from its summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cssa_mm.apis.study_statistics import POSITIVES
from cssa_mm.evaluation.text_table import aligned

COLUMNS = {
    'CF1': 'CF1', 'OF1': 'OF1', 'pseudo_precision': 'pseudo P', 'pseudo_recall': 'pseudo R', 'seconds': 'seconds',
    'step_seconds': 's/step', 'memory_mib': 'MiB',
}  # fmt: skip
DIGITS = {'step_seconds': 3, 'memory_mib': 0}
BY_POSITIVES = 'AP by the number of labelled positives'

Table = list[list[str]]


def plain(summary: Mapping) -> str:
    """The tables for a terminal."""
    rare = _by_positives(summary)
    return aligned(_rows(summary)) + (f'\n\n{BY_POSITIVES}\n{aligned(rare)}' if rare else '')


def markdown(summary: Mapping) -> str:
    """The title, a note on what the figures are, and the tables in Markdown."""
    baselines = {row['compared_with'] for row in summary['rows']} - {None}
    seeds = ', '.join(map(str, summary['seeds']))
    note = f'mAP in per cent, mean and standard error over the seeds {seeds}; paired difference from '
    note += '; '.join(sorted(baselines)) or 'none'
    if _is_compared(summary):
        note += '. Worst class: the one whose mean AP is the furthest below the better of the references'
    parts = [summary['title'], f'{note}.', _marked(_rows(summary))]
    if rare := _by_positives(summary):
        parts += [f'{BY_POSITIVES}: mean over the cells, which are classes x runs.', _marked(rare)]
    return '\n\n'.join(parts) + '\n'


def _rows(summary: Mapping) -> Table:
    """Header and rows of text; columns that are empty throughout are left out."""
    rows = summary['rows']
    columns = {name: title for name, title in COLUMNS.items() if any(row[name] for row in rows)}
    is_compared = _is_compared(summary)
    compared = [f'minus the better of {" and ".join(summary["references"])}', 's.e.', 'worst class']
    table = [['', 'mAP', 's.e.', 'difference', 's.e.', *(compared if is_compared else ()), *columns.values()]]
    for row in rows:
        cells = [row['title'], *_cells(row['mAP'], '.2f'), *_cells(row['difference'], '+.2f')]
        if is_compared:
            worst = row['worst_class']
            cells += _cells(row['over_references'], '+.2f')
            cells += ['-' if worst is None else f'{worst["name"]} {worst["difference"]:+.1f}']
        table.append(cells + [_cells(row[name], f'.{DIGITS.get(name, 1)}f')[0] for name in columns])
    return table


def _is_compared(summary: Mapping) -> bool:
    return any(row['over_references'] for row in summary['rows'])


def _by_positives(summary: Mapping) -> Table:
    """Header and rows of the table by the number of labelled positives; empty where there is none."""
    groups = summary['by_labelled_positives']
    table = [['', *(title for key in POSITIVES for title in (key, 'cells'))]] if groups else []
    for group in groups:
        pairs = [(group['AP'][key], group['cells'][key]) for key in POSITIVES]
        table.append(
            [group['title'], *(t for value, n in pairs for t in ('-' if value is None else f'{value:.1f}', f'{n}'))]
        )
    return table


def _cells(statistics: Mapping | None, form: str) -> tuple[str, str]:
    if statistics is None:
        return '-', '-'
    error = statistics['standard_error']
    return f'{statistics["mean"]:{form}}', '-' if error is None else f'{error:.2f}'


def _marked(table: Sequence[Sequence[str]]) -> str:
    lines = ['| ' + ' | '.join(row) + ' |' for row in table]
    lines.insert(1, '|---' * len(table[0]) + '|')
    return '\n'.join(lines)
