"""Contexts: groups of labels that occur together, and what they ask of an image.

That contexts are spectral clusters of the label co-occurrence is the paper's; the affinity, the other
clusterings and the targets are reconstructions.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import AgglomerativeClustering, KMeans, SpectralClustering
from torch import Tensor

from cssa_mm.errors import ConfigError, DataError, nearest

AFFINITIES = ('conditional', 'jaccard', 'cosine', 'count')
METHODS = ('spectral', 'agglomerative', 'kmeans')
TARGET_KINDS = ('multi', 'single')


def affinity(labels: np.ndarray | Tensor, kind: str = 'conditional', epsilon: float = 1e-3) -> np.ndarray:
    """How strongly labels occur together in n labelled images.

    With n_i images that hold label i and n_ij that hold both: ``conditional`` is (n_ij/n_i + n_ij/n_j) / 2,
    ``jaccard`` n_ij / (n_i + n_j - n_ij), ``cosine`` n_ij / sqrt(n_i n_j) and ``count`` n_ij. ``epsilon`` is
    added between any two labels, as labels that never occur together would disconnect the graph; a label that
    never occurs has nothing but epsilon.

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
    rows of W, the largest entry of each also on the diagonal) are there to compare. Contexts are numbered in
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
    _check_choice('method', method, METHODS)
    num_classes = len(affinity)
    if not 2 <= num_contexts <= num_classes:
        raise ConfigError(f'Contexts: num_contexts={num_contexts}; expected 2 to {num_classes}, the number of classes.')
    if num_contexts == num_classes:
        return np.arange(num_classes)
    if method == 'spectral':
        clustering = SpectralClustering(num_contexts, affinity='precomputed', assign_labels='kmeans', random_state=seed)
        found = clustering.fit_predict(affinity)
    elif method == 'agglomerative':
        distance = 1 - affinity / max(affinity.max(), np.finfo(np.float64).tiny)
        np.fill_diagonal(distance, 0)
        found = AgglomerativeClustering(num_contexts, metric='precomputed', linkage='average').fit_predict(distance)
    else:
        # With a zero diagonal the rows of two labels that always occur together would be far apart.
        rows = affinity.copy()
        np.fill_diagonal(rows, affinity.max(axis=1))
        found = KMeans(num_contexts, n_init=10, random_state=seed).fit_predict(rows)
    return _numbered_by_first_label(found)


def context_targets(labels: Tensor, assignment: Tensor | np.ndarray, num_contexts: int, kind: str = 'multi') -> Tensor:
    """What the context head should say about each image.

    ``multi``: a context is 1 if any of its labels is positive, 0 if all of its labels are negative, -1
    (masked) otherwise; a context without labels is masked. ``single``: the context with most positives is 1,
    the others 0; ties go to the lowest id, unknown cells count for nothing, and an image without positives is
    masked.

    Args:
        labels: (B, C) in {1, 0, -1}.
        assignment: (C,), the context of each label, from 0 to K - 1.
        num_contexts: K.
        kind: ``'multi'`` or ``'single'``.

    Returns:
        int8 (B, K) in {1, 0, -1}, on the device of the labels.

    Raises:
        ConfigError: kind is unknown.
        DataError: labels and assignment do not fit, or a context id is out of range.
    """
    _check_choice('kind', kind, TARGET_KINDS)
    assignment = torch.as_tensor(assignment, dtype=torch.int64, device=labels.device)
    if labels.ndim != 2 or labels.shape[1:] != assignment.shape:
        raise DataError(
            f'Contexts: labels of shape {tuple(labels.shape)} and an assignment of shape '
            f'{tuple(assignment.shape)}; expected (images, classes) and (classes,).'
        )
    if len(assignment) and not 0 <= int(assignment.min()) <= int(assignment.max()) < num_contexts:
        raise DataError(
            f'Contexts: ids from {int(assignment.min())} to {int(assignment.max())}; expected 0 to {num_contexts - 1}.'
        )
    positives = _count_per_context(labels == 1, assignment, num_contexts)
    if kind == 'multi':
        negatives = _count_per_context(labels == 0, assignment, num_contexts)
        size = torch.bincount(assignment, minlength=num_contexts)
        targets = torch.full_like(positives, -1, dtype=torch.int8)
        targets[(negatives == size) & (size > 0)] = 0
        targets[positives > 0] = 1
        return targets
    # A stable sort, not argmax: which of several maxima argmax returns is undefined.
    best = positives.sort(dim=1, descending=True, stable=True).indices[:, 0]
    targets = torch.nn.functional.one_hot(best, num_contexts).to(torch.int8)
    targets[positives.sum(1) == 0] = -1
    return targets


def _check_choice(what: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise ConfigError(
            f'Contexts: unknown {what} {found!r}; expected one of {", ".join(known)}.' + nearest(found, known)
        )


def _count_per_context(cells: Tensor, assignment: Tensor, num_contexts: int) -> Tensor:
    """Of cells (B, C), how many are set in each context: int64 (B, K)."""
    counts = torch.zeros((len(cells), num_contexts), dtype=torch.int64, device=cells.device)
    return counts.index_add_(1, assignment, cells.long())


def _numbered_by_first_label(found: np.ndarray) -> np.ndarray:
    order: dict[int, int] = {}
    return np.array([order.setdefault(int(c), len(order)) for c in found], dtype=np.int64)
