"""The tables of a study as text, from its summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cssa_mm.evaluation.text_table import aligned
from cssa_mm.studies.statistics import POSITIVES

LABELS = ('CF1', 'OF1', 'ECE')
COLUMNS = {
    'raw_ECE': 'ECE raw', 'raw_Brier': 'Brier raw', 'Brier': 'Brier', 'pseudo_precision': 'pseudo P',
    'pseudo_recall': 'pseudo R', 'seconds': 'seconds', 'step_seconds': 's/step', 'memory_mib': 'MiB',
}  # fmt: skip
DIGITS = {'step_seconds': 3, 'memory_mib': 0}
OVER = {'over_references': 'mAP', 'CF1_over_references': 'CF1', 'OF1_over_references': 'OF1'}
BY_POSITIVES = 'AP by the number of labelled positives (a cell is a class in a run)'

Table = list[list[str]]


def plain(summary: Mapping) -> str:
    """The tables for a terminal."""
    parts = [aligned(_rows(summary))]
    parts += [f'{heading}\n{aligned(table)}' for heading, table in _further_tables(summary)]
    return '\n\n'.join(parts)


def markdown(summary: Mapping) -> str:
    """The title, a note that explains the numbers, and the tables in Markdown."""
    baselines = {row['compared_with'] for row in summary['rows']} - {None}
    seeds = ', '.join(map(str, summary['seeds']))
    note = f'mAP in per cent, mean and standard error over the seeds {seeds}; CF1, OF1 and the expected calibration '
    note += 'error (ECE) at the thresholds and the calibration of each model; paired difference from '
    note += '; '.join(sorted(baselines)) or 'none'
    if any(row['over_references'] for row in summary['rows']):
        note += '. Worst class: the one whose mean AP is the furthest below the better of the references'
    parts = [summary['title'], f'{note}.', marked(_rows(summary))]
    for heading, table in _further_tables(summary):
        parts += [f'{heading}:', marked(table)]
    return '\n\n'.join(parts) + '\n'


def _further_tables(summary: Mapping) -> list[tuple[str, Table]]:
    """Heading and table of what stands below the first table, where the study has it."""
    references = ' and '.join(summary['references'])
    better = f'minus the better of {references}, paired'
    if any(row['x'] is not None for row in summary['rows']):
        by_x = f'by {summary["x_label"] or "x"}'
        found = [(f'{name} {by_x}', _grid(summary, name, '.1f')) for name in ('mAP', *LABELS)]
        found += [(f'{name} {better}, {by_x}', _grid(summary, key, '+.1f')) for key, name in OVER.items()]
    else:
        found = [(better[0].upper() + better[1:], _paired(summary))]
    found.append(('Paired difference of each seed', _by_seed(summary)))
    heading = f'Classes whose mean AP is more than {summary["fall"]:g} below that of the better of {references}'
    found.append((heading, _fallen(summary)))
    found.append((BY_POSITIVES, _by_positives(summary)))
    return [(heading, table) for heading, table in found if len(table) > 1]


def _grid(summary: Mapping, key: str, form: str) -> Table:
    """Lines over x; a row outside all lines is the same everywhere."""
    values = sorted({row['x'] for row in summary['rows']} - {None})
    lines: dict[str, dict[float | None, str]] = {}
    for row in summary['rows']:
        if row[key] is not None:
            lines.setdefault(row['line'] or row['title'], {})[row['x']] = mean_and_error(row[key], form)
    table = [['', *(f'{x:g}' for x in values)]]
    return table + [[name, *(found.get(x, found.get(None, '-')) for x in values)] for name, found in lines.items()]


def _paired(summary: Mapping) -> Table:
    rows = [row for row in summary['rows'] if row['over_references']]
    table = [['', *(title for name in OVER.values() for title in (name, 's.e.'))]]
    return table + [[row['title'], *(text for key in OVER for text in _cells(row[key], '+.2f'))] for row in rows]


def _by_seed(summary: Mapping) -> Table:
    rows = [row for row in summary['rows'] if row['by_seed']]
    seeds = [str(seed) for seed in summary['seeds']]
    texts = [[f'{row["by_seed"][seed]:+.2f}' if seed in row['by_seed'] else '-' for seed in seeds] for row in rows]
    return [['', *seeds], *([row['title'], *cells] for row, cells in zip(rows, texts, strict=True))]


def _fallen(summary: Mapping) -> Table:
    judged = [row for row in summary['rows'] if row['fallen'] is not None]
    texts = [', '.join(f'{name} {fall:+.1f}' for name, fall in row['fallen'].items()) or 'none' for row in judged]
    return [['', 'classes'], *([row['title'], text] for row, text in zip(judged, texts, strict=True))]


def _rows(summary: Mapping) -> Table:
    """Header and rows of text; columns that are empty throughout are left out."""
    rows = summary['rows']
    further = [column for column in _further(summary) if set(column[1]) != {'-'}]
    columns = {name: title for name, title in COLUMNS.items() if any(row[name] for row in rows)}
    table = [['', 'mAP', 's.e.', *LABELS, 'difference', 's.e.', *(title for title, _ in further), *columns.values()]]
    for number, row in enumerate(rows):
        cells = [row['title'], *_cells(row['mAP'], '.2f'), *(_cells(row[name], '.1f')[0] for name in LABELS)]
        cells += [*_cells(row['difference'], '+.2f'), *(texts[number] for _, texts in further)]
        table.append(cells + [_cells(row[name], f'.{DIGITS.get(name, 1)}f')[0] for name in columns])
    return table


def _further(summary: Mapping) -> list[tuple[str, list[str]]]:
    """Titles and cells of the columns that only some studies have."""
    rows = summary['rows']

    def statistic(key: str, title: str) -> list[tuple[str, list[str]]]:
        means, errors = zip(*(_cells(row[key], '+.2f') for row in rows), strict=True)
        return [(title, list(means)), ('s.e.', list(errors))]

    columns = []
    if len({row['baseline'] for row in rows if row['x'] is None} - {None}) > 1:
        columns.append(('from', [row['compared_with'] or '-' for row in rows]))
    columns += statistic('over_references', f'minus the better of {" and ".join(summary["references"])}')
    columns.append(('worst class', [_worst_class(row['worst_class']) for row in rows]))
    columns.append((f'way to {summary["ceiling"]}', [_share(row['share_of_way']) for row in rows]))
    columns.append((f'worth {summary["worth"]} at', [_place(row['worth']) for row in rows]))
    return columns + statistic('change', 'since first x') + statistic('change_over_baseline', "minus the baseline's")


def _worst_class(worst: Mapping | None) -> str:
    return '-' if worst is None else f'{worst["name"]} {worst["difference"]:+.1f}'


def _share(share: float | None) -> str:
    if share is None:
        return '-'
    return '< 0' if share < 0 else f'{100 * share:.0f} %'


def _place(found: Mapping | None) -> str:
    return '-' if found is None else f'{found["beyond"]} {found["x"]:.2g}'.strip()


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


def mean_and_error(statistics: Mapping, form: str) -> str:
    """Mean and standard error, as in 52.2 +- 0.3; the mean alone of a single value."""
    mean, error = f'{statistics["mean"]:{form}}', statistics['standard_error']
    return mean if error is None else f'{mean} +- {error:.1f}'


def marked(table: Sequence[Sequence[str]]) -> str:
    """Header and rows as a table in Markdown."""
    lines = ['| ' + ' | '.join(row) + ' |' for row in table]
    lines.insert(1, '|---' * len(table[0]) + '|')
    return '\n'.join(lines)
