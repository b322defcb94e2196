"""Contexts: groups of labels that occur together.

Spectral clustering of the label co-occurrence is the paper's; the affinity and the other clusterings are
reconstructions. `models.context_head.context_targets` derives the targets of an image from them.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from cssa_mm.errors import ConfigError, DataError, nearest
from cssa_mm.models.context_head import AFFINITIES, METHODS


def affinity(labels: np.ndarray | Tensor, kind: str = 'conditional', epsilon: float = 1e-3) -> np.ndarray:
    """How strongly labels occur together in n labelled images.

    With n_i images that hold label i and n_ij that hold both: ``conditional`` is (n_ij/n_i + n_ij/n_j) / 2,
    ``jaccard`` n_ij / (n_i + n_j - n_ij), ``cosine`` n_ij / sqrt(n_i n_j) and ``count`` n_ij. ``epsilon`` is
    added between any two labels, as labels that never occur together would disconnect the graph; a label that
    never occurs has only edges of epsilon.

    Args:
        labels: (n, C) in {1, 0, -1}; unknown cells are not counted as positive.
        kind: one of the four above.
        epsilon: positive weight of every edge.

    Returns:
        float64 (C, C), symmetric, with a zero diagonal.

    Raises:
        ConfigError: kind is unknown or epsilon negative.
        DataError: labels are not (n, C).
    """
    _check_choice('affinity', kind, AFFINITIES)
    if epsilon < 0:
        raise ConfigError(f'Contexts: epsilon={epsilon}; expected a number >= 0.')
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise DataError(f'Contexts: labels of shape {labels.shape}; expected (images, classes).')
    positive = (labels == 1).astype(np.float64)
    both = positive.T @ positive
    count = np.diag(both)
    if kind == 'conditional':
        share = both / np.maximum(count, 1)[:, None]
        weights = (share + share.T) / 2
    elif kind == 'jaccard':
        weights = both / np.maximum(count[:, None] + count[None, :] - both, 1)
    elif kind == 'cosine':
        weights = both / np.sqrt(np.maximum(np.outer(count, count), 1))
    else:
        weights = both
    weights = weights + epsilon
    np.fill_diagonal(weights, 0)
    return weights


def cluster_labels(affinity: np.ndarray, num_contexts: int, method: str = 'spectral', seed: int = 0) -> np.ndarray:
    """Assign each label to one of K contexts.

    ``spectral`` is the paper's; ``agglomerative`` (average linkage on 1 - W / max W) and ``kmeans`` (on the
    rows of W, the largest entry of each also on the diagonal) serve for comparison. Contexts are numbered in
    the order of their first label, so that the ids do not depend on the run. Labels that cannot be told apart
    may leave fewer than K contexts in use.

    Args:
        affinity: (C, C), symmetric, from :func:`affinity`.
        num_contexts: K, from 2 to C.
        method: ``'spectral'``, ``'agglomerative'`` or ``'kmeans'``.
        seed: of spectral and k-means clustering.

    Returns:
        int64 (C,), the context of each label.

    Raises:
        ConfigError: the method is unknown or K out of its range.
    """
    from sklearn import cluster  # takes long, and most commands do without

    _check_choice('method', method, METHODS)
    num_classes = len(affinity)
    if not 2 <= num_contexts <= num_classes:
        raise ConfigError(f'Contexts: num_contexts={num_contexts}; expected 2 to {num_classes}, the number of classes.')
    if num_contexts == num_classes:
        return np.arange(num_classes)
    if method == 'spectral':
        options = dict(affinity='precomputed', assign_labels='kmeans', random_state=seed)
        found = cluster.SpectralClustering(num_contexts, **options).fit_predict(affinity)
    elif method == 'agglomerative':
        distance = 1 - affinity / max(affinity.max(), np.finfo(np.float64).tiny)
        np.fill_diagonal(distance, 0)
        clustering = cluster.AgglomerativeClustering(num_contexts, metric='precomputed', linkage='average')
        found = clustering.fit_predict(distance)
    else:
        # With a zero diagonal the rows of two labels that always occur together would be far apart.
        rows = affinity.copy()
        np.fill_diagonal(rows, affinity.max(axis=1))
        found = cluster.KMeans(num_contexts, n_init=10, random_state=seed).fit_predict(rows)
    return _numbered_by_first_label(found)


def _check_choice(what: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise ConfigError(
            f'Contexts: unknown {what} {found!r}; expected one of {", ".join(known)}.' + nearest(found, known)
        )


def _numbered_by_first_label(found: np.ndarray) -> np.ndarray:
    order: dict[int, int] = {}
    return np.array([order.setdefault(int(c), len(order)) for c in found], dtype=np.int64)
