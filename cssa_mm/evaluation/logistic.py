"""Logistic regression on few inputs, by one thread: more threads wait for each other, up to 25 times as long."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np


def fit_logistic(inputs: Any, positive: np.ndarray, inverse_penalty: float) -> Any:
    """scikit-learn's fitted LogisticRegression, at the minimum of its loss to about seven digits.

    Its default, L-BFGS, ends where the gradient is below 1e-4: rounding of 1e-7 in the inputs, such as sums over other
    numbers of processes have, moved weights by 2e-3. More exact, it takes ten times as long as Newton's method.

    Args:
        inputs: (n, J), dense or a sparse matrix of scipy, with J at most some hundreds.
        positive: bool (n,).
        inverse_penalty: its `C`.
    """
    from sklearn.linear_model import LogisticRegression  # takes long, and most commands do without

    with _thread_pools().limit(limits=1, user_api='blas'), warnings.catch_warnings():
        # Early versions of scikit-learn warn where rounding lets no further step lower the loss: at its minimum.
        warnings.simplefilter('ignore')
        model = LogisticRegression(C=inverse_penalty, solver='newton-cg', tol=1e-8, max_iter=100)
        return model.fit(inputs, positive)


@cache
def _thread_pools() -> Any:
    """The thread pools of the libraries that are loaded; to look for them takes milliseconds."""
    from threadpoolctl import ThreadpoolController  # comes with scikit-learn

    return ThreadpoolController()
