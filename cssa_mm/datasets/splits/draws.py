"""How often each labelled image is drawn: repeated as a whole, or the more the rarer its classes are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral

import numpy as np

from cssa_mm.errors import ConfigError


def checked_oversampling(option: object) -> list[dict]:
    """The steps of ``oversample``: ``dict(times=3)`` or ``dict(oversample_thr=.1)``, the inner before the outer.

    Raises:
        ConfigError: One has another form.
    """
    steps = [] if option is None else [option] if isinstance(option, Mapping) else option
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise ConfigError(f'oversample: found {option!r}, expected a list such as [dict(times=3)], or None.')
    for step in steps:
        _check_step(step)
    return [dict(step) for step in steps]


def draw_counts(steps: Sequence[Mapping], labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How often each of n labelled images is drawn in one pass, int64 (n,).

    ``oversample_thr`` is the rule of MMEngine's ClassBalancedDataset, on known positives: a class in a share f of the
    images has the factor max(1, sqrt(t / f)), an image the largest factor of its classes, rounded up.

    Args:
        steps: What :func:`checked_oversampling` returns.
        labels: int8 (n, C) with 1, 0 or -1 (unknown).
        counts: How often each is drawn without the steps, int64 (n,).
    """
    positive = labels == 1
    for step in steps:
        if 'times' in step:
            counts = counts * step['times']
            continue
        share = (positive * counts[:, None]).sum(axis=0) / max(int(counts.sum()), 1)
        factors = np.ones(len(share))
        shown = share > 0
        factors[shown] = np.maximum(1.0, np.sqrt(step['oversample_thr'] / share[shown]))
        largest = np.where(positive, factors, 1.0).max(axis=1, initial=1.0)
        counts = counts * np.ceil(largest).astype(np.int64)
    return counts


def _check_step(step: object) -> None:
    if isinstance(step, Mapping) and set(step) == {'times'}:
        times = step['times']
        if not isinstance(times, Integral) or isinstance(times, bool) or times < 1:
            raise ConfigError(f'times: found {times!r}, expected a whole number >= 1 (RepeatDataset)')
    elif isinstance(step, Mapping) and set(step) == {'oversample_thr'}:
        share = step['oversample_thr']
        if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 < share <= 1:
            raise ConfigError(f'oversample_thr: found {share!r}, expected a share in (0, 1] (ClassBalancedDataset)')
    else:
        raise ConfigError(f'oversample: found {step!r}, expected dict(times=3) or dict(oversample_thr=0.1).')
