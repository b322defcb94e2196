"""Are the pseudo-labels of a run any good? A table of its last epoch, worst classes first, and a picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cssa_mm.errors import ConfigError, DataError
from cssa_mm.evaluation.text_table import aligned
from cssa_mm.semi.pseudo_label_hook import FILE
from cssa_mm.visualization.pseudo_label_figure import draw_pseudo_labels
from cssa_mm.visualization.style import picture_suffixes

Record = dict[str, object]
NEEDED = ('epoch', 'class_names', 'labelled_positives', 'CF1', 'reliability')


def parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/pseudo_labels.py."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument('work_dir', help='work directory of a training run')
    result.add_argument('--out', help='picture to write; pseudo_labels.png in the work directory by default')
    return result


def show_pseudo_labels(args: argparse.Namespace) -> Path:
    """Print the table of the last epoch and draw the picture; returns its path.

    Raises:
        ConfigError: there is no such run, or `--out` is no picture.
        DataError: its records cannot be read.
    """
    out = Path(args.out or Path(args.work_dir, 'pseudo_labels.png'))
    if out.suffix not in picture_suffixes():
        raise ConfigError(f"--out: found '{out}', expected a name that ends with {', '.join(picture_suffixes())}")
    records = read_records(Path(args.work_dir))
    print(describe(records[-1]))
    out.parent.mkdir(parents=True, exist_ok=True)
    draw_pseudo_labels(records, out)
    print(f'\npicture: {out}')
    return out


def read_records(work_dir: Path) -> list[Record]:
    """One record for each semi-supervised epoch of a run; None is read as nan.

    Raises:
        ConfigError: the run has none.
        DataError: they are broken, or of another version.
    """
    path = work_dir / FILE
    if not path.is_file():
        raise ConfigError(
            f"{path}: found no such file, expected that of a run with semi-supervised epochs; give tools/train.py's "
            '--work-dir'
        )
    records = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f'{path}: found no JSON in line {number} ({error}), expected an epoch; train again'
            ) from error
        missing = [key for key in NEEDED if key not in record]
        if missing:
            raise DataError(
                f"{path}: found no '{missing[0]}' in line {number}, expected a record of this version; train again"
            )
        records.append(_with_nan(record))
    if not records:
        raise ConfigError(f'{path}: found no epoch, expected a semi-supervised one; has the warm-up just ended?')
    return records


def describe(record: Record) -> str:
    """The table of an epoch: classes with the worst F1 first, or, where nobody knows the truth, fewest labels first."""
    names, knows = record['class_names'], truth_is_known(record)
    columns = {
        'labelled': [str(count) for count in record['labelled_positives']],
        'thr+': [_number(value, 4) for value in record['positive_thresholds']],
        'thr-': [_number(value, 4) for value in record['negative_thresholds']],
    }
    columns |= {key: [str(count) for count in record[key]] for key in ('positives', 'negatives', 'masked')}
    total = {key: str(sum(record[key])) for key in ('positives', 'negatives', 'masked')}
    total['labelled'] = str(sum(record['labelled_positives']))
    text = f'Pseudo-labels of epoch {record["epoch"]}'
    if knows:
        for key in ('precision', 'recall', 'F1'):
            columns[key] = [_number(100 * value, 1) for value in record[key]]
        columns['ECE'] = [_number(100 * value, 1) for value in record['calibration_error']]
        total |= {
            'precision': _number(100 * record['micro_precision'], 1),
            'recall': _number(100 * record['micro_recall'], 1),
            'ECE': _number(100 * record['overall_calibration_error'], 1),
        }
        text += (
            f', in per cent; CF1 {_number(100 * record["CF1"], 1)}; worst classes first. ECE: how far scores are from '
            'the share of positives.'
        )
        order = np.argsort(np.nan_to_num(np.array(record['F1'], float), nan=np.inf), kind='stable')
    else:
        text += (
            '; fewest labelled positives first. The truth of the unlabelled images is not known here: there are counts '
            'and thresholds, but no precision or recall.'
        )
        order = np.argsort(record['labelled_positives'], kind='stable')
    rows = [['class', *columns]]
    rows += [[names[c], *(column[c] for column in columns.values())] for c in order]
    rows.append(['all', *(total.get(key, '-') for key in columns)])
    return f'{text}\n{aligned(rows)}'


def truth_is_known(record: Record) -> bool:
    """Whether the data set knew the truth of any unlabelled image."""
    return sum(record['reliability']['count']) > 0


def _with_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return float('nan') if value is None else value


def _number(value: float, digits: int) -> str:
    return f'{value:.{digits}f}' if np.isfinite(value) else '-'
