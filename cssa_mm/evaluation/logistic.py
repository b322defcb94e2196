"""Logistic regression on few inputs, by one thread: more threads wait for each other, up to 25 times as long."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np


def fit_logistic(inputs: Any, positive: np.ndarray, inverse_penalty: float) -> Any:
    """scikit-learn's fitted LogisticRegression.

    Args:
        inputs: (n, J), dense or a sparse matrix of scipy, with J at most some hundreds.
        positive: bool (n,).
        inverse_penalty: its `C`.
    """
    from sklearn.linear_model import LogisticRegression  # takes long, and most commands do without

    with _thread_pools().limit(limits=1, user_api='blas'):
        return LogisticRegression(C=inverse_penalty, max_iter=2000).fit(inputs, positive)


@cache
def _thread_pools() -> Any:
    """The thread pools of the libraries that are loaded; to look for them takes milliseconds."""
    from threadpoolctl import ThreadpoolController  # comes with scikit-learn

    return ThreadpoolController()
