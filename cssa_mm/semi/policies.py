"""Policies that turn a teacher's scores into pseudo-labels: pure functions of tensors.

Every policy is called ``policy(scores, positive_rates)`` and returns :class:`PseudoLabels`. Two rules hold
for all:

- "at or above" and "at or below" include every tied score;
- a cell that meets the rule for positives and the one for negatives is contradictory and stays masked. So a
  class whose scores are all equal gets no label at all, instead of a flood of either kind.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cssa_mm.errors import ConfigError, CSSAError, nearest

INF = float('inf')


@dataclass(frozen=True)
class PseudoLabels:
    """What a policy decides about M unlabelled images and C classes.

    Attributes:
        labels: int8 (M, C), 1 positive, 0 negative, -1 masked.
        weights: float32 (M, C), the factor of each cell in the loss, or None for 1 everywhere.
        positive_thresholds: float32 (C,), +inf where a class gets no positives, nan where the policy has
            none.
        negative_thresholds: float32 (C,), -inf where a class gets no negatives, nan where the policy has
            none.
    """

    labels: Tensor
    weights: Tensor | None
    positive_thresholds: Tensor
    negative_thresholds: Tensor


def cat(
    scores: Tensor,
    positive_rates: Tensor,
    *,
    eta_positive: float = 1.0,
    eta_negative: float = 0.998,
    negative_rates: Tensor | None = None,
) -> PseudoLabels:
    """Class-distribution-aware thresholds (paper; the exact steps are read in CAP).

    The positive threshold of class c is the score of rank ``floor(eta_positive * positive_rates[c] * M)``
    from the top, the negative one the score of rank ``floor(eta_negative * negative_rates[c] * M)`` from the
    bottom; cells at or above the first are positive, at or below the second negative, all others masked. A
    quota of 0 gives no label of its kind. A class without labelled positives (rate 0) is masked as a whole
    (reconstruction): there is no evidence to draw positives from it, nor that it never occurs.

    Args:
        scores: (M, C), compared as float32.
        positive_rates: (C,) in [0, 1], the share of labelled images with the class; best computed in float64,
            as a float32 rate can miss a whole-numbered quota by one.
        eta_positive: share of the positive quota that is used.
        eta_negative: share of the negative quota that is used.
        negative_rates: (C,) in [0, 1]; 1 - positive_rates if not given.

    Raises:
        ConfigError: an option is out of its range.
        CSSAError: scores hold NaN, or rates are no shares or do not fit the scores.
    """
    _check_options(eta_positive=eta_positive, eta_negative=eta_negative)
    scores = _check_scores(scores)
    positive_rates = _check_rates('positive_rates', positive_rates, scores)
    if negative_rates is None:
        negative_rates = 1 - positive_rates
    else:
        negative_rates = _check_rates('negative_rates', negative_rates, scores)

    occurs = positive_rates > 0
    positive_quotas = _quotas(eta_positive * positive_rates, len(scores)) * occurs
    negative_quotas = _quotas(eta_negative * negative_rates, len(scores)) * occurs
    ascending = scores.sort(dim=0).values
    positive_thresholds = _score_of_rank(ascending.flip(0), positive_quotas, none=INF)
    negative_thresholds = _score_of_rank(ascending, negative_quotas, none=-INF)
    labels = _labels(
        positive=(scores >= positive_thresholds) & (positive_quotas > 0),
        negative=(scores <= negative_thresholds) & (negative_quotas > 0),
    )
    return PseudoLabels(labels, None, positive_thresholds, negative_thresholds)


def fixed(
    scores: Tensor, positive_rates: Tensor | None = None, *, positive: float = 0.95, negative: float = 0.05
) -> PseudoLabels:
    """The same two thresholds for every class, as in FixMatch (reconstruction).

    Args:
        scores: (M, C), compared as float32.
        positive_rates: ignored; there for the common call.
        positive: scores at or above it are positive.
        negative: scores at or below it are negative.

    Raises:
        ConfigError: ``negative`` is not below ``positive``.
        CSSAError: scores hold NaN.
    """
    _check_options(positive=positive, negative=negative)
    scores = _check_scores(scores)
    positive_thresholds = scores.new_full((scores.shape[1],), positive)
    negative_thresholds = scores.new_full((scores.shape[1],), negative)
    labels = _labels(scores >= positive_thresholds, scores <= negative_thresholds)
    return PseudoLabels(labels, None, positive_thresholds, negative_thresholds)


def top_k(scores: Tensor, positive_rates: Tensor | None = None, *, k: int) -> PseudoLabels:
    """The k best classes of each image are positive, the others negative (reconstruction).

    Cells at or above the k-th best score of their image are positive, at or below the next one negative; a
    tie across that border is contradictory and masked. There are no thresholds per class: they are nan.

    Args:
        scores: (M, C), compared as float32.
        positive_rates: ignored; there for the common call.
        k: positives for each image, 1 to C.

    Raises:
        ConfigError: k is no whole number from 1 to C.
        CSSAError: scores hold NaN.
    """
    _check_options(k=k)
    scores = _check_scores(scores)
    num_classes = scores.shape[1]
    if k > num_classes:
        raise ConfigError(f'Policy top_k: k={k}, but there are {num_classes} classes; lower k.')
    descending = scores.sort(dim=1, descending=True).values
    positive = scores >= descending[:, k - 1 : k]
    negative = scores <= descending[:, k : k + 1] if k < num_classes else torch.zeros_like(positive)
    no_thresholds = scores.new_full((num_classes,), float('nan'))
    return PseudoLabels(_labels(positive, negative), None, no_thresholds, no_thresholds.clone())


POLICIES: dict[str, Callable[..., PseudoLabels]] = {'cat': cat, 'fixed': fixed, 'top_k': top_k}


def build_policy(name: str, **options) -> Callable[[Tensor, Tensor], PseudoLabels]:
    """The policy called ``name`` with its options bound, to be called with scores (M, C) and rates (C,).

    Raises:
        ConfigError: the name or an option is unknown, missing or out of its range; checked here, not after
            the warm-up, when the policy is first used.
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
    _check_options(**{key: options.get(key, parameter.default) for key, parameter in known.items()})
    return functools.partial(POLICIES[name], **options)


def _check_options(**options) -> None:
    for name in ('eta_positive', 'eta_negative'):
        if name in options and not 0 <= options[name] < INF:
            raise ConfigError(f'Policy cat: {name}={options[name]}; expected a number >= 0.')
    if 'positive' in options and not options['negative'] < options['positive']:
        raise ConfigError(
            f'Policy fixed: negative={options["negative"]}, positive={options["positive"]}; '
            'expected negative below positive.'
        )
    if 'k' in options and not (type(options['k']) is int and options['k'] >= 1):
        raise ConfigError(f'Policy top_k: k={options["k"]!r}; expected a whole number >= 1.')


def _check_scores(scores: Tensor) -> Tensor:
    if scores.ndim != 2:
        raise CSSAError(f'Scores of shape {tuple(scores.shape)}; expected (images, classes).')
    if scores.isnan().any():
        image, label = scores.isnan().nonzero()[0].tolist()
        raise CSSAError(
            f'{int(scores.isnan().sum())} of {scores.numel()} scores are NaN, the first in row {image}, '
            f'class {label}; the teacher has diverged: lower the learning rate.'
        )
    return scores.detach().float()


def _check_rates(name: str, rates: Tensor, scores: Tensor) -> Tensor:
    rates = torch.as_tensor(rates, dtype=torch.float64, device=scores.device)
    if rates.shape != scores.shape[1:]:
        raise CSSAError(f'{name} of shape {tuple(rates.shape)}; expected one for each of {scores.shape[1]} classes.')
    if not ((rates >= 0) & (rates <= 1)).all():
        raise CSSAError(f'{name} from {rates.min():g} to {rates.max():g}; expected shares in [0, 1].')
    return rates


def _quotas(shares: Tensor, num_images: int) -> Tensor:
    # The guard keeps whole numbers whole: 0.29 * 100 is 28.999999999999996 in float64.
    return (shares * num_images + 1e-9).floor().clamp(max=num_images).long()


def _score_of_rank(ranked: Tensor, ranks: Tensor, none: float) -> Tensor:
    """Per class (column) the score at its rank, counted from 1; ``none`` for rank 0."""
    ranked = torch.cat([ranked.new_full((1, ranked.shape[1]), none), ranked])
    return ranked.gather(0, ranks[None])[0]


def _labels(positive: Tensor, negative: Tensor) -> Tensor:
    labels = torch.full_like(positive, -1, dtype=torch.int8)
    labels[positive & ~negative] = 1
    labels[negative & ~positive] = 0
    return labels
