"""Oracle: the gradient of the loss, written down in numpy, is 0 at the minimum and nowhere else."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit

from cssa_mm.evaluation.logistic import fit_logistic

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(400, 3))
APART = np.concatenate([RNG.normal(-2, 0.1, 50), RNG.normal(2, 0.1, 50)])[:, None]
CLASSES = np.eye(20)[np.arange(400) % 20]
CASES = {
    'common': (NOISE, RNG.random(400) < expit(NOISE.sum(1)), 1.0),
    'one positive of many': (RNG.normal(size=(20_000, 1)), np.arange(20_000) == 7, 1e3),
    'separable': (APART, APART[:, 0] > 0, 1e3),
    # As weights of readings are fitted: one column for each class, and one of a class's rate, which is steep.
    'steep': (np.column_stack([NOISE * [3, 0.3, 0.3], CLASSES, 30 * NOISE[:, :1]]), RNG.random(400) < 0.05, 1.0),
}


@pytest.mark.parametrize('form', [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize('case', CASES)
def test_the_fit_is_at_the_minimum_where_rounding_of_inputs_moves_nothing(case, form):
    inputs, positive, inverse_penalty = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found = fit_logistic(form(inputs), positive, inverse_penalty)
    (weights,), (intercept,) = found.coef_, found.intercept_
    too_high = expit(inputs @ weights + intercept) - positive
    gradient = [*(inputs.T @ too_high + weights / inverse_penalty), too_high.sum()]
    np.testing.assert_allclose(np.array(gradient) / len(positive), 0, atol=1e-7)
    rounded = inputs * (1 + 1e-7 * np.random.default_rng(1).normal(size=inputs.shape))
    (moved,) = fit_logistic(form(rounded), positive, inverse_penalty).coef_
    np.testing.assert_allclose(moved, weights, rtol=1e-5, atol=1e-5)
