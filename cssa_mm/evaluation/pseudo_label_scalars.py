"""The figures of an epoch's pseudo-labels as scalars, for a live view of a training."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

KINDS = ('positive', 'negative')
# Name of a scalar in per cent -> key of the record.
SHARES = dict(
    masked='masked_share', precision='micro_precision', recall='micro_recall', macro_F1='CF1',
    calibration_error='overall_calibration_error',
)  # fmt: skip


def pseudo_label_scalars(record: Mapping[str, Any], num_classes: int) -> dict[str, float]:
    """Scalars by name; those that are not known, such as precision without truth, are left out.

    Args:
        record: of an epoch, as `pseudo_labels.jsonl` has it: C classes.
        num_classes: most classes whose thresholds are named: those with the most labelled positives.

    Returns:
        `pseudo_labels/positives` and `negatives`, counts; `pseudo_labels/NAME` of `SHARES` in per cent;
        `positive_thresholds/lowest`, `median` and `highest` of all classes, and `positive_threshold_of/CLASS`; the same
        of the negative thresholds.
    """
    found: dict[str, Any] = {f'pseudo_labels/{kind}s': sum(record[f'{kind}s']) for kind in KINDS}
    found |= {f'pseudo_labels/{name}': _per_cent(record.get(key)) for name, key in SHARES.items()}
    named = np.argsort(-np.asarray(record['labelled_positives']), kind='stable')[:num_classes]
    for kind in KINDS:
        thresholds = np.array(record[f'{kind}_thresholds'], np.float64)  # None becomes nan
        known = thresholds[np.isfinite(thresholds)]
        if len(known):
            quantiles = np.quantile(known, (0, 0.5, 1))
            found |= {
                f'{kind}_thresholds/{name}': value
                for name, value in zip(('lowest', 'median', 'highest'), quantiles, strict=True)
            }
        found |= {f'{kind}_threshold_of/{_tag(record["class_names"][c])}': thresholds[c] for c in sorted(named)}
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _per_cent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _tag(name: str) -> str:
    """A class name without what services refuse or read as a folder."""
    return re.sub(r'[^\w .-]', '_', name)
