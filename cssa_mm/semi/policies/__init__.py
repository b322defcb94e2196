"""Policies that turn a teacher's scores into pseudo-labels: pure functions of tensors.

Every policy is called ``policy(scores, positive_rates)``, or ``policy(scores, positive_rates, labelled_scores,
labelled_labels)`` where it learns from the teacher's scores of the labelled images (:func:`needs_labelled`), and
returns :class:`PseudoLabels`. Three rules hold for all:

- the scores (m, C) are those of a share of the M images: of several processes each sees its own, at the same time.
  What depends on the others, such as a quota, comes from :func:`cat`, :func:`scores_at` or :func:`num_images`;

- "at or above" and "at or below" include every tied score;
- a cell that meets the rule for positives and the one for negatives is contradictory and stays masked. So CAT
  gives a class whose scores are all equal no label at all, instead of a flood of either kind.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cssa_mm.errors import ConfigError, nearest
from cssa_mm.semi.policies.calibrated_weights import calibrated
from cssa_mm.semi.policies.class_distribution import cat
from cssa_mm.semi.policies.instance_threshold import instance_adaptive
from cssa_mm.semi.policies.interval import interval
from cssa_mm.semi.policies.metric_adaptive import mat
from cssa_mm.semi.policies.options import check_options
from cssa_mm.semi.policies.pseudo_labels import PseudoLabels, refuse_nan
from cssa_mm.semi.policies.selection import num_images, scores_at
from cssa_mm.semi.policies.simple import fixed, top_k

__all__ = [
    'POLICIES',
    'PseudoLabels',
    'build_policy',
    'calibrated',
    'cat',
    'fixed',
    'instance_adaptive',
    'interval',
    'label_rows',
    'mat',
    'needs_labelled',
    'num_images',
    'scores_at',
    'top_k',
]

Policy = Callable[..., PseudoLabels]
POLICIES: dict[str, Policy] = {
    'cat': cat,
    'fixed': fixed,
    'top_k': top_k,
    'instance_adaptive': instance_adaptive,
    'mat': mat,
    'calibrated': calibrated,
    'interval': interval,
}


def build_policy(name: str, **options: Any) -> Policy:
    """The policy called ``name`` with its options bound, to be called with tensors alone.

    Raises:
        ConfigError: The name or an option is unknown, missing or out of its range. It is raised here and not after the
            warm-up, when the policy is first used.
    """
    if name not in POLICIES:
        raise ConfigError(
            f'Unknown pseudo-label policy {name!r}; expected one of {", ".join(POLICIES)}.' + nearest(name, POLICIES)
        )
    signature = inspect.signature(POLICIES[name])
    known = {key: p for key, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY}
    for key in options:
        if key not in known:
            raise ConfigError(
                f'Policy {name}: unknown option {key!r}; expected one of {", ".join(known)}.' + nearest(key, known)
            )
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in options:
            raise ConfigError(f'Policy {name}: option {key!r} is missing; give it in the config.')
    check_options(POLICIES[name], **{key: options.get(key, parameter.default) for key, parameter in known.items()})
    return functools.partial(POLICIES[name], **options)


def needs_labelled(policy: Policy) -> bool:
    """Whether a policy learns from the teacher's scores of the labelled images."""
    return 'labelled_scores' in inspect.signature(policy).parameters


def label_rows(policy: Policy, scores: Tensor, positive_rates: Tensor, rows: Tensor, *labelled: Tensor) -> PseudoLabels:
    """Apply a policy to some images as if there were no others; the others stay masked. All ranks must call it.

    Args:
        policy: From :func:`build_policy`.
        scores: (m, C), this rank's share of the M images.
        positive_rates: (C,).
        rows: bool (m,), the images that take part in ranks, quotas and labels.
        labelled: Scores (n, C) and labels (n, C) of the labelled images, for a policy that needs them.

    Raises:
        CSSAError: A score is NaN, on whichever rank.
    """
    refuse_nan(scores, rows)
    found = policy(scores if rows.all() else scores[rows], positive_rates, *labelled)
    if rows.all():
        return found
    labels = torch.full(scores.shape, -1, dtype=torch.int8, device=found.labels.device)
    labels[rows] = found.labels
    weights = None
    if found.weights is not None:
        weights = torch.zeros(scores.shape, dtype=found.weights.dtype, device=found.weights.device)
        weights[rows] = found.weights
    return replace(found, labels=labels, weights=weights)
