"""A text table of the pseudo-labels of an epoch, worst classes first."""

from __future__ import annotations

import numpy as np

from cssa_mm.evaluation.pseudo_label_records import Record
from cssa_mm.evaluation.text_table import aligned, rounded


def describe(record: Record) -> str:
    """The table of an epoch: classes with the worst F1 first, or, if the truth is unknown, fewest labels first."""
    names, knows = record['class_names'], truth_is_known(record)
    columns = {
        'labelled': [str(count) for count in record['labelled_positives']],
        'thr+': [rounded(value, 4) for value in record['positive_thresholds']],
        'thr-': [rounded(value, 4) for value in record['negative_thresholds']],
    }
    columns |= {key: [str(count) for count in record[key]] for key in ('positives', 'negatives', 'masked')}
    total = {key: str(sum(record[key])) for key in ('positives', 'negatives', 'masked')}
    total['labelled'] = str(sum(record['labelled_positives']))
    text = f'Pseudo-labels of epoch {record["epoch"]}'
    if knows:
        for key in ('precision', 'recall', 'F1'):
            columns[key] = [rounded(100 * value, 1) for value in record[key]]
        columns['ECE'] = [rounded(100 * value, 1) for value in record['calibration_error']]
        total |= {
            'precision': rounded(100 * record['micro_precision'], 1),
            'recall': rounded(100 * record['micro_recall'], 1),
            'ECE': rounded(100 * record['overall_calibration_error'], 1),
        }
        text += (
            f', in per cent; CF1 {rounded(100 * record["CF1"], 1)}; worst classes first. ECE: how far scores are from '
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
