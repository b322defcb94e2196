"""Pseudo-labels that have collapsed: a class without positives, or with positives nearly everywhere (ours)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

NONE, MOST = 'none', 'most'
# So many positives must be expected before their absence is a sign.
LEAST_EXPECTED = 2.0
# Of the unlabelled images, and of what the labelled ones lead to expect.
MOST_SHARE, MOST_OF_RATE = 0.5, 1.5
FEW = 5  # labelled positives
SHOWN = 8  # classes in a line


def labelled_rates(labels: np.ndarray) -> np.ndarray:
    """The share of positives of each class (C,), nan without a known label, of labels (n, C) in 1, 0, -1."""
    known = (labels >= 0).sum(0)
    return np.divide((labels == 1).sum(0), known, out=np.full(labels.shape[1], np.nan), where=known > 0)


def collapsed(record: Mapping[str, Any], rates: np.ndarray) -> dict[str, np.ndarray]:
    """Which classes have collapsed in an epoch, bool (C,) by kind: 'none' and 'most'.

    Classes without labelled positives get no pseudo-labels, and cannot collapse.

    Args:
        record: of the epoch, as `pseudo_labels.jsonl` holds it.
        rates: shares of positives (C,) among the labelled images.
    """
    positives = np.asarray(record['positives'], float)
    images = positives + np.asarray(record['negatives'], float) + np.asarray(record['masked'], float)
    taught = np.asarray(record['labelled_positives']) > 0
    rates = np.where(taught, np.nan_to_num(rates), 0.0)
    share = positives / np.maximum(images, 1)
    return {
        NONE: taught & (positives == 0) & (rates * images >= LEAST_EXPECTED),
        MOST: taught & (share > MOST_SHARE) & (share > MOST_OF_RATE * rates),
    }


def told(kind: str, classes: Sequence[int], record: Mapping[str, Any], rates: np.ndarray, epochs: int) -> str:
    """The warning of classes that have collapsed for some epochs: what was found and expected, why, and what to do."""
    parts = []
    for index in classes[:SHOWN]:
        numbers = [int(record[key][index]) for key in ('positives', 'negatives', 'masked')]
        name, labelled = record['class_names'][index], int(record['labelled_positives'][index])
        expected = rates[index] * sum(numbers)
        parts.append(f"'{name}' {numbers[0]} of {sum(numbers)}, expected {expected:.0f} ({labelled} labelled)")
    more = f' and {len(classes) - SHOWN} more' if len(classes) > SHOWN else ''
    few = all(int(record['labelled_positives'][index]) < FEW for index in classes)
    if few:
        cause = f'fewer than {FEW} labelled images show them: label more'
    elif kind == NONE:
        cause = (
            'the teacher has lost them: lower optim_wrapper.optimizer.lr, and look at the policy '
            '(default_hooks.pseudo_labels.policy)'
        )
    else:
        cause = (
            'the teacher confirms its own labels, or unlabelled images differ from labelled ones: lower '
            "optim_wrapper.optimizer.lr, or take policy.name='cat', whose thresholds follow the rates"
        )
    what = 'no pseudo-positives' if kind == NONE else 'pseudo-positives nearly everywhere'
    return f'Pseudo-labels have collapsed, {what} for {epochs} epochs: {", ".join(parts)}{more}. Likely cause: {cause}'
