"""Which photos are worth a label: those that the model doubts, unlike each other in doubts and in looks."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.cluster import kmeans_plusplus
from sklearn.decomposition import TruncatedSVD

# Of the two factors of an embedding, their product has a few hundred columns: 4,096 photos take 20 MB.
DOUBT_COLUMNS, LOOK_COLUMNS = 12, 48


def signed_doubt(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How far each decision is from certain, (N, C) in [-.5, .5]: below 0 where the class was predicted.

    A calibrated score is stretched so that its threshold lies at .5: the doubt is .5 in size at the threshold and falls
    to 0 where the score is 0 or 1. With thresholds of .5 it is the gradient of the logistic loss by the logit if the
    prediction were the label, which is what active learning by gradient embeddings looks at (Ash et al. 2020).

    A class without a threshold has scores that only rank photos. There, the doubt is that of a class that nobody has
    labelled: .5 for the photo that ranks first, falling to 0 at a share of 2 / C of the photos.

    Args:
        scores: calibrated scores (N, C).
        thresholds: those of the classes (C,); nan where there is none.
    """
    scores = np.asarray(scores, np.float64)
    below = np.divide(scores, thresholds, out=np.ones_like(scores), where=np.asarray(thresholds) > 0)
    above = np.divide(1 - scores, 1 - thresholds, out=np.ones_like(scores), where=np.asarray(thresholds) < 1)
    doubt = np.where(scores < thresholds, below, -above).clip(-1, 1) / 2
    if np.isnan(thresholds).any():
        ranks = np.argsort(np.argsort(-scores, axis=0, kind='stable'), axis=0)
        share = min(1.0, 2 / scores.shape[1])
        doubt = np.where(np.isnan(thresholds), (1 - ranks / max(1.0, share * len(scores))).clip(0, 1) / 2, doubt)
    return doubt


def choose(doubt: np.ndarray, features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The rows of photos to label, the first the most useful (ours, after BADGE of Ash et al. 2020).

    The embedding of a photo is the outer product of its doubt and its centred feature with a constant behind it, as the
    gradient of a linear layer and its bias would be. So photos are far apart if they are doubted, and differ in the
    classes in doubt (and so in contexts, which are classes that are doubted together) or in looks. k-means++ draws
    photos that lie far from those drawn before.

    Args:
        doubt: what `signed_doubt` gives (N, C).
        features: frozen features (N, D).
        count: photos to choose, at most N.
        seed: of the draw.

    Returns:
        min(count, N) rows, each one once. Photos without any doubt come last.
    """
    size = np.abs(doubt).sum(axis=1)
    rows = np.flatnonzero(size > 0)
    chosen = rows
    if len(rows) > count:
        embedding = _embedding(doubt[rows], features[rows], seed)
        _, found = kmeans_plusplus(embedding, count, sample_weight=size[rows], random_state=seed)
        # Of photos that are all alike, one can be drawn twice.
        chosen = rows[list(dict.fromkeys(found.tolist()))]
    rest = np.setdiff1d(np.arange(len(doubt)), chosen)
    rest = rest[np.argsort(-size[rest], kind='stable')]
    if len(rows) <= count:
        chosen = rows[np.argsort(-size[rows], kind='stable')]
    return np.concatenate([chosen, rest])[:count]


def choose_randomly(number: int, count: int, seed: int) -> np.ndarray:
    """`count` of `number` rows, or all of them, drawn by the seed: the baseline."""
    return np.random.default_rng(seed).permutation(number)[:count]


def _embedding(doubt: np.ndarray, features: np.ndarray, seed: int) -> np.ndarray:
    """The outer products of doubts and looks (N, d), each cut down to its main directions."""
    looks = features - features.mean(axis=0)
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-12)
    doubt, looks = _main_directions(doubt, DOUBT_COLUMNS, seed), _main_directions(looks, LOOK_COLUMNS, seed)
    looks = np.hstack([looks, np.ones((len(looks), 1))])
    return (doubt[:, :, None] * looks[:, None, :]).reshape(len(doubt), -1)


def _main_directions(values: np.ndarray, most: int, seed: int) -> np.ndarray:
    if values.shape[1] <= most:
        return values
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)  # of photos that are all alike
        return TruncatedSVD(most, random_state=seed).fit_transform(values)
