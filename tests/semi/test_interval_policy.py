"""The policy of intervals against published intervals and brute force: plain Python loops, and a numerical integral."""

import math
from bisect import bisect_left
from functools import cache
from itertools import accumulate

import numpy as np
import pytest
import torch

from cssa_mm.semi.policies import cat, interval

pytestmark = pytest.mark.smoke
INF = float('inf')
STEPS = 20_000


def labels_of(positives: int, negatives: int, unknown: int = 0) -> torch.Tensor:
    return torch.tensor([1] * positives + [0] * negatives + [-1] * unknown, dtype=torch.int8)[:, None]


def labelled_at(score: float, labels: torch.Tensor) -> torch.Tensor:
    return torch.full(labels.shape, score)


# Brown, Cai and DasGupta (2001), table 5: 95 % Jeffreys intervals of n = 10.
@pytest.mark.parametrize(('positives', 'low', 'high'), [(1, 0.011, 0.381), (2, 0.044, 0.503), (5, 0.224, 0.776)])
def test_quotas_are_the_ends_of_published_intervals(positives, low, high):
    scores = torch.arange(1000)[:, None] / 1000
    labels = labels_of(positives, 10 - positives)
    found = interval(scores, None, labelled_at(0.5, labels), labels, confidence=0.95)
    assert found.labels.eq(1).sum().item() == pytest.approx(1000 * low, abs=1)
    assert found.labels.eq(0).sum().item() == pytest.approx(1000 * (1 - high), abs=1)
    assert found.labels[:, 0].tolist() == sorted(found.labels[:, 0].tolist(), key=[0, -1, 1].index)


@cache
def quantile(positives: int, negatives: int, share: float) -> float:
    """Of Beta(positives + 1/2, negatives + 1/2); with rate = sin^2, its density is finite everywhere."""
    angles = [(step + 0.5) / STEPS * math.pi / 2 for step in range(STEPS)]
    mass = [math.sin(angle) ** (2 * positives) * math.cos(angle) ** (2 * negatives) for angle in angles]
    sums = list(accumulate(mass))
    return math.sin(angles[bisect_left(sums, share * sums[-1])]) ** 2


def brute_force(scores, labelled, confidence, prior):
    """Labels and weights of one class, of its scores and of its labelled (score, label) pairs."""
    known = [(score, label) for score, label in labelled if label != -1]
    positives = sum(label for _, label in known)
    negatives = len(known) - positives
    if not positives:
        return [-1] * len(scores), None, None
    quota = math.floor(quantile(positives, negatives, (1 - confidence) / 2) * len(scores))
    spared = math.floor((1 - quantile(positives, negatives, (1 + confidence) / 2)) * len(scores)) if negatives else 0
    column = sorted(scores)
    upper, lower = column[-quota] if quota else INF, column[spared - 1] if spared else -INF
    rules = [(score >= upper, score <= lower) for score in scores]
    above = [label for score, label in known if score >= upper]
    below = [1 - label for score, label in known if score <= lower]
    shares = [(sum(right) + prior) / (len(right) + 2 * prior) for right in (above, below)]
    return [-1 if high == low else int(high) for high, low in rules], *shares


def test_labels_and_weights_equal_brute_force_on_300_random_cases():
    rng = np.random.default_rng(0)
    seen = dict.fromkeys(('masked class', 'positive', 'negative', 'masked', 'no negatives', 'wrong'), 0)
    for number in range(300):
        steps = (4, 64, 4096)[number % 3]
        sizes = (int(rng.integers(1, 60)), 2), (int(rng.integers(1, 12)), 2)
        scores, labelled = (rng.integers(0, steps + 1, size) / np.float32(steps) for size in sizes)
        labels = rng.choice([1, 0, -1], sizes[1], p=[0.35, 0.45, 0.2]).astype(np.int8)
        labels[0, 0] = 1
        confidence, prior = (0.8, 0.5, 0.95)[number % 3], (1.0, 0.5)[number % 2]
        tensors = torch.tensor(scores), None, torch.tensor(labelled), torch.tensor(labels)
        found = interval(*tensors, confidence=confidence, prior=prior)
        for c in range(2):
            pairs = list(zip(labelled[:, c].tolist(), labels[:, c].tolist(), strict=True))
            expected, above, below = brute_force(scores[:, c].tolist(), pairs, confidence, prior)
            assert found.labels[:, c].tolist() == expected
            for label, weight in zip(expected, found.weights[:, c].tolist(), strict=True):
                if label != -1:
                    assert weight == pytest.approx(above if label else below)
            seen['masked class'] += above is None
            seen['positive'] += 1 in expected
            seen['negative'] += 0 in expected
            seen['masked'] += above is not None and -1 in expected
            seen['no negatives'] += 0 not in labels[:, c] and above is not None
            seen['wrong'] += above is not None and above < 0.5
        assert (found.labels.dtype, found.weights.dtype) == (torch.int8, torch.float32)
    assert min(seen.values()) > 20, seen


def test_more_labels_of_the_same_rate_give_more_pseudo_labels_up_to_those_of_cat():
    scores = torch.rand(2000, 1, generator=torch.Generator().manual_seed(0))
    counts = []
    for factor in (1, 10, 100, 100_000):
        labels = labels_of(factor, 4 * factor)
        found = interval(scores, None, labelled_at(0.5, labels), labels).labels
        counts.append((int(found.eq(1).sum()), int(found.eq(0).sum())))
    assert counts == sorted(counts)
    assert len(set(counts)) == len(counts)
    reference = cat(scores, torch.tensor([0.2], dtype=torch.float64), eta_negative=1.0).labels
    assert counts[-1] == pytest.approx((int(reference.eq(1).sum()), int(reference.eq(0).sum())), abs=2)


def test_a_class_without_positives_is_masked_and_one_without_negatives_gets_none():
    scores = torch.rand(100, 1, generator=torch.Generator().manual_seed(0))
    for labels in (labels_of(0, 20), labels_of(0, 20, unknown=5)):
        assert interval(scores, None, labelled_at(0.5, labels), labels).labels.eq(-1).all()
    found = interval(scores, None, labelled_at(0.5, labels_of(9, 0)), labels_of(9, 0)).labels
    assert found.eq(0).sum() == 0
    assert found.eq(1).sum() > 50


def test_weights_are_the_shares_that_are_right_on_labelled_images_pulled_to_one_half():
    scores = torch.arange(100)[:, None] / 100
    labels = labels_of(4, 6)
    labelled = torch.tensor([0.99, 0.98, 0.97, 0.0, 0.96, 0.01, 0.02, 0.03, 0.04, 0.05])[:, None]
    found = interval(scores, None, labelled, labels)
    # Above: three positives and a negative. Below: a positive and five negatives.
    assert found.weights[99].item() == pytest.approx((3 + 1) / (4 + 2))
    assert found.weights[0].item() == pytest.approx((5 + 1) / (6 + 2))
    trusting = interval(scores, None, labelled, labels, prior=1e-6)
    assert trusting.weights[99].item() == pytest.approx(3 / 4, abs=1e-4)
