"""Policies that learn from the teacher's scores of the labelled images, against brute force in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from cssa_mm.errors import ConfigError, CSSAError
from cssa_mm.semi.policies import (
    POLICIES,
    build_policy,
    calibrated,
    cat,
    instance_adaptive,
    label_rows,
    mat,
    needs_labelled,
)

pytestmark = pytest.mark.smoke
INF = float('inf')
LEARNED = ('instance_adaptive', 'mat', 'calibrated', 'interval')


def case(rng, num_images=None, num_classes=None, steps=None):
    """Scores in eighths and so on (exact, with ties) of unlabelled and labelled images, and labels with unknowns."""
    shape = (num_images or int(rng.integers(1, 12)), num_classes or int(rng.integers(1, 6)))
    labelled = (int(rng.integers(1, 9)), shape[1])
    steps = steps or int(rng.choice([4, 16, 1024]))
    scores, labelled_scores = (rng.integers(0, steps + 1, size) / np.float32(steps) for size in (shape, labelled))
    labels = rng.choice([1, 0, -1], labelled, p=[0.3, 0.5, 0.2]).astype(np.int8)
    labels[0, 0] = 1
    return torch.tensor(scores), torch.tensor(labelled_scores), torch.tensor(labels)


def tensors(policy, scores, labelled_scores, labels, **options):
    return policy(scores, torch.full(scores.shape[1:], 0.5), labelled_scores, labels, **options)


# -- MAT ----------------------------------------------------------------------------------------------------------


def brute_force_mat(labelled, beta):
    """The threshold from (score, label) pairs of one class: every cut, F_beta as a fraction, the lowest of the best."""
    positives = [score for score, label in labelled if label == 1]
    if not positives:
        return INF
    known = sorted({Fraction(score) for score, label in labelled if label != -1})
    best, threshold = Fraction(-1), None
    for index, cut in enumerate(known):
        right = sum(label == 1 and score >= cut for score, label in labelled)
        wrong = sum(label == 0 and score >= cut for score, label in labelled)
        missed = len(positives) - right
        square = Fraction(beta) ** 2
        f_beta = (1 + square) * right / ((1 + square) * right + square * missed + wrong)
        if f_beta > best:
            best, threshold = f_beta, (cut + known[index - 1]) / 2 if index else cut
    return float(threshold)


def test_mat_equals_brute_force_on_1000_random_cases():
    rng = np.random.default_rng(0)
    seen = dict.fromkeys(('no positive', 'unknown', 'tie', 'all accepted'), 0)
    for number in range(1000):
        scores, labelled_scores, labels = case(rng)
        beta = (0.5, 1.0, 2.0, 0.25)[number % 4]
        found = tensors(mat, scores, labelled_scores, labels, beta=beta)
        for c in range(scores.shape[1]):
            pairs = list(zip(labelled_scores[:, c].tolist(), labels[:, c].tolist(), strict=True))
            threshold = brute_force_mat(pairs, beta)
            assert found.positive_thresholds[c].item() == threshold
            expected = [-1 if threshold == INF else int(score >= threshold) for score in scores[:, c].tolist()]
            assert found.labels[:, c].tolist() == expected
            negative = found.negative_thresholds[c].item()
            assert negative == -INF if threshold == INF else threshold - 1e-6 < negative < threshold
            seen['no positive'] += threshold == INF
            seen['unknown'] += -1 in labels[:, c]
            seen['tie'] += len(set(labelled_scores[:, c].tolist())) < len(labels)
            seen['all accepted'] += threshold == min((s for s, label in pairs if label != -1), default=None)
        assert (found.weights, found.labels.dtype) == (None, torch.int8)
    assert min(seen.values()) > 20, seen


def test_mat_with_a_small_beta_wants_precision_and_with_a_large_one_recall():
    labelled = torch.tensor([[0.9], [0.8], [0.7], [0.6], [0.5], [0.1]])
    labels = torch.tensor([[1], [0], [0], [1], [1], [0]], dtype=torch.int8)
    strict, lenient = (tensors(mat, labelled, labelled, labels, beta=beta) for beta in (0.1, 2.0))
    assert strict.positive_thresholds.item() == pytest.approx(0.85)
    assert lenient.positive_thresholds.item() == pytest.approx(0.3)
    assert strict.labels[:, 0].tolist() == [1, 0, 0, 0, 0, 0]


def test_mat_parts_neighbouring_floats():
    """No float lies between them: what is halfway rounds up for one pair, and down for the next."""
    high = torch.tensor([[0.3]])
    labels = torch.tensor([[1], [0]], dtype=torch.int8)
    for _ in range(4):
        low = torch.nextafter(high, torch.zeros(1))
        found = tensors(mat, torch.cat([high, low]), torch.cat([high, low]), labels)
        assert found.labels[:, 0].tolist() == [1, 0]
        high = low


# -- instance-adaptive thresholds ---------------------------------------------------------------------------------


def brute_force_target(scores, labels):
    """The middle of the highest interval with fewest wrong cells; all intervals between 1, the known scores and 0."""
    known = [(score, label) for score, label in zip(scores, labels, strict=True) if label != -1]
    borders = sorted({0.0, 1.0, *(score for score, _ in known)}, reverse=True)
    best = None
    for upper, lower in zip(borders, borders[1:], strict=False):
        middle = (upper + lower) / 2
        wrong = sum((score > middle) != (label == 1) for score, label in known)
        if best is None or wrong < best[0]:
            best = wrong, middle
    return best[1]


def test_instance_adaptive_equals_least_squares_on_brute_force_thresholds():
    rng = np.random.default_rng(1)
    margins = []
    for number in range(200):
        scores, labelled_scores, labels = case(rng, num_images=20)
        # Inside 0 and 1, as sigmoids are: at the ends "nothing accepted" has no threshold of its own.
        scores, labelled_scores = (0.05 + 0.9 * s for s in (scores, labelled_scores))
        known = (labels >= 0).any(1)
        x = labelled_scores[known].double().numpy()
        pairs = zip(x.tolist(), labels[known].tolist(), strict=True)
        y = np.array([brute_force_target(row, truth) for row, truth in pairs])
        penalty = (0.1, 1.0, 10.0)[number % 3]
        centre = x.mean(0)
        normal = (x - centre).T @ (x - centre) + penalty * np.eye(x.shape[1])
        slope = np.linalg.solve(normal, (x - centre).T @ (y - y.mean()))
        thresholds = y.mean() + (scores.double().numpy() - centre) @ slope
        margin = scores.double().numpy() - thresholds[:, None]
        found = tensors(instance_adaptive, scores, labelled_scores, labels, penalty=penalty)
        clear = np.abs(margin) > 1e-6
        assert np.array_equal(found.labels.numpy()[clear], (margin > 0)[clear])
        assert found.positive_thresholds.isnan().all()
        assert set(found.labels.unique().tolist()) <= {0, 1}
        margins += [thresholds.std()]
    assert np.median(margins) > 1e-3  # the images differ in their thresholds


def test_instance_adaptive_finds_that_brighter_images_need_a_higher_threshold():
    """Scores are shifted image by image; no threshold for all images, nor for a class, would part them."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, (300, 6)).astype(np.int8)
    shift = rng.uniform(0, 0.6, (300, 1))
    scores = torch.tensor(shift + 0.3 * labels + rng.uniform(0, 0.05, (300, 6)), dtype=torch.float32)
    found = tensors(instance_adaptive, scores[200:], scores[:200], torch.tensor(labels[:200]), penalty=0.01)
    assert (found.labels.numpy() == labels[200:]).mean() > 0.95
    assert max(((scores[200:].numpy() >= cut) == labels[200:]).mean() for cut in np.linspace(0, 1, 101)) < 0.8


# -- calibrated weights -------------------------------------------------------------------------------------------


def brute_force_curve(scores, labels, bins, prior):
    """Smoothed shares, and the isotonic regression by its min-max formula: max over starts of min over ends."""
    count, positive = [2 * prior] * bins, [prior] * bins
    for score, label in zip(np.ravel(scores).tolist(), np.ravel(labels).tolist(), strict=True):
        if label != -1:
            where = min(int(score * bins), bins - 1)
            count[where] += 1
            positive[where] += label
    return [
        max(
            min(sum(positive[start : end + 1]) / sum(count[start : end + 1]) for end in range(index, bins))
            for start in range(index + 1)
        )
        for index in range(bins)
    ]


def test_calibrated_weights_equal_brute_force_and_its_labels_are_those_of_cat():
    rng = np.random.default_rng(3)
    for number in range(200):
        scores, labelled_scores, labels = case(rng, steps=1000)
        bins, prior = (2, 5, 20)[number % 3], (1.0, 0.5, 3.0)[number % 3]
        rates = torch.tensor(rng.random(scores.shape[1]))
        found = calibrated(scores, rates, labelled_scores, labels, bins=bins, prior=prior)
        expected = cat(scores, rates)
        for name in ('labels', 'positive_thresholds', 'negative_thresholds'):
            assert torch.equal(getattr(found, name), getattr(expected, name))
        curve = brute_force_curve(labelled_scores.numpy(), labels.numpy(), bins, prior)
        cells = (tensor.flatten().tolist() for tensor in (scores, found.labels, found.weights))
        for score, label, weight in zip(*cells, strict=True):
            place = score * bins - 0.5
            low = min(max(int(np.floor(place)), 0), bins - 1)
            high = min(max(int(np.floor(place)) + 1, 0), bins - 1)
            share = curve[low] + (curve[high] - curve[low]) * min(max(place - np.floor(place), 0), 1)
            if label != -1:
                assert weight == pytest.approx(share if label == 1 else 1 - share, abs=1e-6)
        assert found.weights.dtype == torch.float32


def test_calibrated_weights_are_the_share_that_is_right_where_there_is_plenty_to_count():
    """The chance that a cell of score s is positive is s squared, on labelled and unlabelled images alike."""
    rng = np.random.default_rng(4)
    scores = torch.tensor(rng.random((6000, 4)), dtype=torch.float32)
    truth = torch.tensor(rng.random((6000, 4)) < scores.numpy() ** 2)
    labels = truth[:3000].to(torch.int8)
    found = calibrated(scores[3000:], torch.full((4,), 0.5), scores[:3000], labels, eta_negative=1.0)
    right = (found.labels == 1) == truth[3000:]
    for low, high in ((0.3, 0.5), (0.5, 0.75), (0.75, 0.9), (0.9, 0.97)):
        cells = (found.labels != -1) & (found.weights >= low) & (found.weights < high)
        assert cells.sum() > 500
        assert found.weights[cells].mean().item() == pytest.approx(right[cells].float().mean().item(), abs=0.03)
    assert found.weights.std() > 0.1


def test_without_evidence_near_a_score_the_weight_is_one_half():
    labelled = torch.tensor([[0.01, 0.99]] * 50)
    labels = torch.tensor([[0, 1]] * 50, dtype=torch.int8)
    scores = torch.tensor([[0.5, 0.5], [0.01, 0.99]])
    found = calibrated(scores, torch.tensor([0.5, 0.5]), labelled, labels)
    assert found.weights[0].tolist() == pytest.approx([0.5, 0.5])
    assert (found.weights[1] > 0.97).all()


# -- all of them --------------------------------------------------------------------------------------------------


def test_exactly_these_policies_ask_for_the_labelled_images():
    required = {'top_k': {'k': 1}}
    asking = [name for name in POLICIES if needs_labelled(build_policy(name, **required.get(name, {})))]
    assert asking == list(LEARNED)


@pytest.mark.parametrize('name', LEARNED)
def test_unknown_cells_and_unlabelled_rows_of_the_labelled_set_count_for_nothing(name):
    """What a score says where the label is unknown may not matter, but to the features of instance_adaptive."""
    scores, labelled_scores, labels = case(np.random.default_rng(5), num_images=30, num_classes=4)
    labels[0] = -1
    labels[1:, 2] = -1
    other = labelled_scores.clone()
    other[0] = 0.77
    if name != 'instance_adaptive':
        other[labels == -1] = 0.77
    rates = torch.full((4,), 0.4)
    policy = build_policy(name)
    found, again = policy(scores, rates, labelled_scores, labels), policy(scores, rates, other, labels)
    assert torch.equal(found.labels, again.labels)
    if name in ('calibrated', 'interval'):
        assert torch.equal(found.weights, again.weights)
    if name in ('mat', 'interval'):
        assert found.labels[:, 2].eq(-1).all()


@pytest.mark.parametrize('name', LEARNED)
def test_rows_left_out_of_a_scoring_are_masked_and_weigh_nothing(name):
    scores, labelled_scores, labels = case(np.random.default_rng(6), num_images=20, num_classes=3)
    rows = torch.ones(20, dtype=torch.bool)
    rows[[3, 11]] = False
    rates = torch.tensor([0.2, 0.5, 0.4])
    found = label_rows(build_policy(name), scores, rates, rows, labelled_scores, labels)
    expected = build_policy(name)(scores[rows], rates, labelled_scores, labels)
    assert torch.equal(found.labels[rows], expected.labels)
    assert found.labels[~rows].eq(-1).all()
    if expected.weights is not None:
        assert torch.equal(found.weights[rows], expected.weights)
        assert found.weights[~rows].eq(0).all()


@pytest.mark.parametrize('name', LEARNED)
def test_the_same_scores_give_bitwise_the_same_and_are_not_changed(name):
    inputs = case(np.random.default_rng(7), num_images=25, num_classes=4)
    before = [tensor.clone() for tensor in inputs]
    found, again = (tensors(POLICIES[name], *inputs) for _ in range(2))
    assert torch.equal(found.labels, again.labels)
    assert found.weights is None or torch.equal(found.weights, again.weights)
    assert all(torch.equal(one, other) for one, other in zip(inputs, before, strict=True))
    empty = tensors(POLICIES[name], inputs[0][:0], *inputs[1:])
    assert empty.labels.shape == (0, 4)


@pytest.mark.parametrize('name', LEARNED)
def test_scores_and_labels_of_the_labelled_images_that_cannot_be_are_refused(name):
    scores, rates = torch.rand(5, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0.5, 0.5])
    policy = build_policy(name)
    labels = torch.tensor([[1, 0], [0, 1], [1, 1]], dtype=torch.int8)
    with pytest.raises(CSSAError, match='1 of 6 scores are NaN, the first in row 2, class 1'):
        policy(scores, rates, torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, float('nan')]]), labels)
    with pytest.raises(CSSAError, match=r'labels of shape \(2, 2\)'):
        policy(scores, rates, scores[:3], labels[:2])
    with pytest.raises(CSSAError, match='2 classes'):
        policy(scores, rates, torch.rand(3, 3), torch.ones(3, 3))
    with pytest.raises(CSSAError, match='found none with a known label'):
        policy(scores, rates, scores[:3], torch.full((3, 2), -1, dtype=torch.int8))


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        ('mta', {}, "Did you mean 'mat'"),
        ('calibrate', {}, "Did you mean 'calibrated'"),
        ('mat', {'beat': 1.0}, "Did you mean 'beta'"),
        ('mat', {'labelled_scores': 1.0}, 'unknown option'),
        ('mat', {'beta': 0}, 'policy.beta: found 0, expected a number above 0'),
        ('mat', {'beta': 'half'}, "beta: found 'half'"),
        ('calibrated', {'bins': 1}, 'bins: found 1, expected a whole number from 2'),
        ('calibrated', {'prior': 0}, 'prior: found 0, expected a number above 0'),
        ('calibrated', {'eta_positive': -1}, 'policy.eta_positive: found -1'),
        ('intervall', {}, "Did you mean 'interval'"),
        ('interval', {'confidence': 1}, 'confidence: found 1, expected a number above 0 and below 1'),
        ('interval', {'confidence': '80 %'}, "confidence: found '80 %'"),
        ('interval', {'prior': 0}, 'prior: found 0, expected a number above 0'),
        ('instance_adaptive', {'penalty': -1}, 'penalty: found -1, expected a number above 0'),
    ],
)
def test_a_wrong_name_or_option_is_refused_when_the_policy_is_built(name, options, message):
    with pytest.raises(ConfigError, match=message):
        build_policy(name, **options)
