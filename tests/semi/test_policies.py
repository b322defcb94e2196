"""Pseudo-label policies against a brute-force oracle: plain Python loops with sorted()."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from cssa_mm.errors import ConfigError, CSSAError
from cssa_mm.semi.policies import POLICIES, build_policy, cat, fixed, top_k

pytestmark = pytest.mark.smoke
INF = float('inf')


def brute_force_cat(scores, positive_rates, eta_positive, eta_negative, negative_rates=None):
    """Labels and thresholds from lists and exact fractions: the rules of the docstring, written anew."""
    num_images, num_classes = len(scores), len(positive_rates)
    labels = [[-1] * num_classes for _ in range(num_images)]
    upper, lower = [], []
    for c in range(num_classes):
        column = sorted(row[c] for row in scores)
        rate = positive_rates[c]
        negative_rate = 1 - rate if negative_rates is None else negative_rates[c]
        positives = min(math.floor(eta_positive * rate * num_images), num_images) if rate else 0
        negatives = min(math.floor(eta_negative * negative_rate * num_images), num_images) if rate else 0
        upper.append(column[-positives] if positives else INF)
        lower.append(column[negatives - 1] if negatives else -INF)
        for i in range(num_images):
            high = positives > 0 and scores[i][c] >= upper[c]
            low = negatives > 0 and scores[i][c] <= lower[c]
            if high != low:
                labels[i][c] = 1 if high else 0
    return labels, upper, lower


def test_cat_equals_brute_force_on_1000_random_cases():
    rng = np.random.default_rng(0)
    seen = {'tie': 0, 'contradiction': 0, 'full quota': 0, 'zero quota': 0, 'one image': 0, 'masked': 0}
    for case in range(1000):
        num_images = int(rng.choice([1, 2, 3, 10, 30, 100]))
        num_classes = int(rng.integers(1, 7))
        scores = rng.random((num_images, num_classes)).astype(np.float32)
        if case % 2:
            scores = np.round(scores * rng.integers(1, 6)) / np.float32(8)
        # Rates as counts over a labelled set, as fractions: the oracle's quotas are exact.
        labelled = int(rng.choice([1, 7, 10, 84, 100]))
        rates = [Fraction(int(n), labelled) for n in rng.integers(0, labelled + 1, num_classes)]
        rates[0] = Fraction(int(rng.integers(0, 2))) if case % 5 == 0 else rates[0]
        eta_positive = [Fraction(1), Fraction(1, 2), Fraction(0), Fraction(13, 10), Fraction(97, 100)][case % 5]
        eta_negative = [Fraction(998, 1000), Fraction(1), Fraction(0), Fraction(1, 2)][case % 4]
        negative_rates = None
        if case % 3 == 0:
            negative_rates = [Fraction(int(n), labelled) for n in rng.integers(0, labelled + 1, num_classes)]

        expected, upper, lower = brute_force_cat(scores.tolist(), rates, eta_positive, eta_negative, negative_rates)
        found = cat(
            torch.tensor(scores),
            torch.tensor([float(r) for r in rates], dtype=torch.float64),
            eta_positive=float(eta_positive),
            eta_negative=float(eta_negative),
            negative_rates=negative_rates and torch.tensor([float(r) for r in negative_rates], dtype=torch.float64),
        )
        assert found.labels.tolist() == expected
        assert found.positive_thresholds.tolist() == upper
        assert found.negative_thresholds.tolist() == lower
        assert (found.labels.dtype, found.weights) == (torch.int8, None)

        for c in range(num_classes):
            column = scores[:, c].tolist()
            seen['tie'] += column.count(upper[c]) > 1
            seen['contradiction'] += any(upper[c] <= s <= lower[c] for s in column)
            seen['full quota'] += rates[c] == 1 and eta_positive >= 1
            seen['zero quota'] += rates[c] > 0 and upper[c] == INF
            seen['one image'] += num_images == 1
            seen['masked'] += rates[c] == 0
    assert min(seen.values()) > 20, seen


def test_cat_draws_exactly_the_quota_from_distinct_scores_however_floats_round():
    for count, labelled, num_images, expected in [
        (1, 10, 30, 3),
        (29, 100, 100, 29),
        (7, 10, 10, 7),
        (1, 3, 3, 1),
    ]:
        scores = torch.arange(num_images).flip(0)[:, None] / num_images
        found = cat(scores, torch.tensor([count / labelled], dtype=torch.float64), eta_negative=1.0)
        assert found.labels[:, 0].tolist() == [1] * expected + [0] * (num_images - expected)


def test_cat_gives_no_positives_for_a_quota_of_zero_but_keeps_negatives():
    scores = torch.tensor([[0.1], [0.2], [0.3], [0.9]])
    found = cat(scores, torch.tensor([0.2]), eta_negative=1.0)
    assert found.labels[:, 0].tolist() == [0, 0, 0, -1]
    assert found.positive_thresholds.item() == INF


def test_cat_masks_a_class_without_labelled_positives_as_a_whole():
    scores = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    found = cat(scores, torch.tensor([0.0, 0.5, 1.0]), eta_negative=1.0)
    assert found.labels[:, 0].eq(-1).all()
    assert (found.positive_thresholds[0].item(), found.negative_thresholds[0].item()) == (INF, -INF)
    assert sorted(found.labels[:, 1].tolist()) == [0] * 25 + [1] * 25
    assert found.labels[:, 2].eq(1).all()
    stubborn = cat(scores, torch.zeros(3), negative_rates=torch.ones(3))
    assert stubborn.labels.eq(-1).all()


def test_cat_masks_constant_scores_instead_of_flooding_the_class():
    found = cat(torch.full((40, 1), 0.3), torch.tensor([0.25]))
    assert found.labels.eq(-1).all()


def test_cat_takes_all_ties_at_one_threshold():
    scores = torch.tensor([[0.9], [0.8], [0.8], [0.8], [0.1], [0.1], [0.1], [0.05]])
    found = cat(scores, torch.tensor([0.25], dtype=torch.float64), eta_negative=0.5)
    assert found.labels[:, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_cat_of_no_images_labels_nothing():
    found = cat(torch.zeros(0, 2), torch.tensor([0.5, 1.0]))
    assert found.labels.shape == (0, 2)
    assert found.positive_thresholds.tolist() == [INF, INF]


def test_cat_does_not_change_its_input():
    scores = torch.rand(20, 3, generator=torch.Generator().manual_seed(1))
    rates = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    before = scores.clone(), rates.clone()
    cat(scores, rates)
    assert torch.equal(scores, before[0])
    assert torch.equal(rates, before[1])


def test_fixed_labels_at_or_beyond_its_two_thresholds():
    scores = torch.tensor([[0.95, 0.9499], [0.05, 0.0501], [1.0, 0.0]])
    found = fixed(scores)
    assert found.labels.tolist() == [[1, -1], [0, -1], [1, 0]]
    assert found.positive_thresholds.tolist() == pytest.approx([0.95, 0.95])
    assert found.negative_thresholds.tolist() == pytest.approx([0.05, 0.05])
    assert fixed(scores, torch.zeros(2), positive=0.5, negative=0.1).labels.tolist() == [
        [1, 1],
        [0, 0],
        [1, 0],
    ]


def test_top_k_equals_brute_force_and_masks_ties_across_the_border():
    rng = np.random.default_rng(3)
    ties = 0
    for case in range(300):
        num_classes = int(rng.integers(1, 7))
        k = int(rng.integers(1, num_classes + 1))
        scores = rng.random((int(rng.integers(1, 6)), num_classes)).astype(np.float32)
        if case % 2:
            scores = np.round(scores * 3) / np.float32(4)
        expected = []
        for row in scores.tolist():
            ranked = sorted(row, reverse=True)
            inside, outside = ranked[k - 1], ranked[k] if k < num_classes else -INF
            ties += inside == outside
            expected.append([-1 if s == inside == outside else int(s >= inside) for s in row])
        found = top_k(torch.tensor(scores), None, k=k)
        assert found.labels.tolist() == expected
        assert found.positive_thresholds.isnan().all()
        assert found.negative_thresholds.isnan().all()
    assert ties > 20


@pytest.mark.parametrize(('name', 'options'), [('cat', {}), ('fixed', {}), ('top_k', {'k': 1})])
def test_every_policy_refuses_nan_and_is_called_alike(name, options):
    policy = build_policy(name, **options)
    scores, rates = torch.tensor([[0.2, 0.7], [0.6, 0.1]]), torch.tensor([0.5, 0.5])
    assert torch.equal(policy(scores, rates).labels, POLICIES[name](scores, rates, **options).labels)
    scores[1, 0] = float('nan')
    with pytest.raises(CSSAError, match='1 of 4 scores are NaN, the first in row 1, class 0'):
        policy(scores, rates)


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('cta', {}, "Did you mean 'cat'"),
        ('cat', {'eta_postive': 1.0}, "Did you mean 'eta_positive'"),
        ('cat', {'positive_rates': 1.0}, 'unknown option'),
        ('cat', {'eta_positive': -1.0}, 'eta_positive: found -1.0'),
        ('cat', {'eta_negative': float('nan')}, 'eta_negative: found nan'),
        ('fixed', {'positive': 0.01}, 'expected negative below positive'),
        ('top_k', {}, "option 'k' is missing"),
        ('top_k', {'k': 0}, 'k: found 0'),
        ('top_k', {'k': 1.5}, 'k: found 1.5'),
    ],
)
def test_a_wrong_policy_or_option_is_refused_when_it_is_built(name, options, message):
    with pytest.raises(ConfigError, match=message):
        build_policy(name, **options)


def test_built_options_are_used():
    scores = torch.arange(10.0)[:, None]
    rates = torch.tensor([0.5], dtype=torch.float64)
    assert build_policy('cat', eta_positive=0.4)(scores, rates).labels.eq(1).sum() == 2
    assert build_policy('cat')(scores, rates).labels.eq(1).sum() == 5


@pytest.mark.parametrize('rates', [[0.5], [0.5, 1.5], [0.5, -0.1], [0.5, float('nan')]])
def test_cat_refuses_rates_that_are_no_shares(rates):
    with pytest.raises(CSSAError, match='positive_rates'):
        cat(torch.rand(4, 2, generator=torch.Generator().manual_seed(0)), torch.tensor(rates))


def test_top_k_refuses_more_labels_than_classes():
    with pytest.raises(ConfigError, match='k=3, but there are 2 classes'):
        top_k(torch.zeros(4, 2), k=3)
