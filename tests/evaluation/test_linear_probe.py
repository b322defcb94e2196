"""The linear probe. Oracle: the gradient of the penalised loss, which is zero at its solution."""

import numpy as np
import pytest

from cssa_mm.evaluation.linear_probe import probe_scores


@pytest.fixture
def data():
    """40 labelled images with 5 features of 3 classes, a fifth of the cells unknown, and 7 others."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 5))
    labels = (features @ rng.normal(size=(5, 3)) + rng.normal(size=(40, 3)) > 0.3).astype(np.int8)
    labels[rng.random(labels.shape) < 0.2] = -1
    return features, labels, rng.normal(size=(7, 5))


def logits(scores):
    return np.log(scores / (1 - scores))


@pytest.mark.parametrize('penalty', [0.1, 10])
def test_the_scores_are_those_of_the_penalised_logistic_regression_on_the_known_cells(data, penalty):
    features, labels, _ = data
    points = np.concatenate([np.zeros((1, 5)), np.eye(5)])  # their scores tell bias and weights
    found = logits(probe_scores(features, labels, points, penalty))
    bias, weights = found[0], found[1:] - found[0]
    for c in range(3):
        known = labels[:, c] >= 0
        residual = 1 / (1 + np.exp(-(features[known] @ weights[:, c] + bias[c]))) - labels[known, c]
        np.testing.assert_allclose(features[known].T @ residual + penalty * weights[:, c], 0, atol=2e-3)
        assert residual.sum() == pytest.approx(0, abs=2e-3)


def test_a_class_of_one_kind_gets_its_constant_rate(data):
    features, _, others = data
    labels = np.full((40, 3), -1, np.int8)
    labels[:4, 0] = 1
    labels[:4, 1] = 0
    np.testing.assert_array_equal(probe_scores(features, labels, others, 0.1), np.tile([1.0, 0.0, 0.0], (7, 1)))
