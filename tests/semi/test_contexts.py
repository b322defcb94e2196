"""Contexts: affinities against plain loops, clusterings against planted blocks."""

import numpy as np
import pytest
import torch

from cssa_mm.errors import ConfigError, DataError
from cssa_mm.semi.contexts import AFFINITIES, METHODS, affinity, cluster_labels


def planted_labels(blocks, num_images=600, seed=0):
    """Images that draw about three labels of one block, and now and then one of another."""
    rng = np.random.default_rng(seed)
    blocks = np.asarray(blocks)
    block = rng.integers(0, blocks.max() + 1, num_images)
    share = np.where(blocks[None, :] == block[:, None], 0.5, 0.03)
    return (rng.random((num_images, len(blocks))) < share).astype(np.int8)


def brute_force_affinity(labels, kind, epsilon):
    images = [{c for c, value in enumerate(row) if value == 1} for row in labels.tolist()]
    num_classes = labels.shape[1]
    weights = np.zeros((num_classes, num_classes))
    for i in range(num_classes):
        for j in range(num_classes):
            if i == j:
                continue
            first, second = sum(i in s for s in images), sum(j in s for s in images)
            both, either = sum({i, j} <= s for s in images), sum(bool({i, j} & s) for s in images)
            value = 0.0
            if both:
                value = {
                    'conditional': (both / first + both / second) / 2,
                    'jaccard': both / either,
                    'cosine': both / (first * second) ** 0.5,
                    'count': both,
                }[kind]
            weights[i, j] = value + epsilon
    return weights


@pytest.mark.parametrize('kind', AFFINITIES)
def test_affinity_equals_brute_force_and_ignores_unknown_cells(kind):
    for seed in range(5):
        labels = np.random.default_rng(seed).choice([1, 0, -1], (30, 7), p=[0.3, 0.5, 0.2]).astype(np.int8)
        labels[:, 2] = np.random.default_rng(seed).choice([0, -1], 30)  # a class that never occurs
        found = affinity(torch.tensor(labels), kind, epsilon=0.01)
        np.testing.assert_allclose(found, brute_force_affinity(labels, kind, 0.01), rtol=1e-12)
        assert found.dtype == np.float64
        assert np.array_equal(found, found.T)
        assert set(np.delete(found[2], 2)) == {0.01}


@pytest.mark.parametrize('method', METHODS)
def test_planted_blocks_are_recovered_with_ids_that_do_not_depend_on_the_seed(method):
    blocks = np.array([0, 1, 0, 2, 1, 1, 2, 3, 0, 3, 2, 3, 0, 1, 2, 3, 4, 4, 4, 4])
    weights = affinity(planted_labels(blocks))
    for seed in range(5):
        found = cluster_labels(weights, 5, method, seed=seed)
        assert found.dtype == np.int64
        assert found.tolist() == blocks.tolist()


def test_contexts_are_numbered_by_their_first_label():
    blocks = np.array([3, 3, 1, 1, 0, 0, 2, 2, 3, 1, 0, 2])
    found = cluster_labels(affinity(planted_labels(blocks)), 4)
    assert found.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 0, 1, 2, 3]


@pytest.mark.parametrize('method', METHODS)
def test_few_labels_a_disconnected_graph_and_absent_classes_still_give_contexts(method):
    labels = np.zeros((6, 8), np.int8)
    labels[:3, :2] = labels[3:, 2:5] = 1
    found = cluster_labels(affinity(labels), 3, method)
    assert found.shape == (8,)
    assert found[0] == found[1]
    assert found[2] == found[3] == found[4]
    if method != 'agglomerative':  # there the absent classes tie with the merge of the two blocks
        assert found[0] != found[2]
    assert cluster_labels(affinity(np.zeros((4, 5), np.int8)), 2, method).max() <= 1
    assert cluster_labels(affinity(labels), 8, method).tolist() == list(range(8))


def test_same_seed_gives_the_same_contexts():
    labels = (np.random.default_rng(0).random((50, 24)) < 0.2).astype(np.int8)
    runs = {tuple(cluster_labels(affinity(labels), 6, seed=3)) for _ in range(3)}
    assert len(runs) == 1


@pytest.mark.parametrize('num_contexts', [0, 1, 5])
def test_an_impossible_number_of_contexts_is_refused(num_contexts):
    with pytest.raises(ConfigError, match=f'num_contexts={num_contexts}; expected 2 to 4'):
        cluster_labels(affinity(np.eye(4, dtype=np.int8)), num_contexts)


def test_unknown_kinds_are_refused_with_the_nearest_name():
    labels = torch.eye(4, dtype=torch.int8)
    with pytest.raises(ConfigError, match="Did you mean 'jaccard'"):
        affinity(labels, 'jacard')
    with pytest.raises(ConfigError, match="Did you mean 'spectral'"):
        cluster_labels(affinity(labels), 2, 'spectrall')


def test_labels_that_are_no_table_are_refused():
    with pytest.raises(DataError, match='expected'):
        affinity(np.zeros(4))


def test_a_negative_epsilon_is_refused():
    with pytest.raises(ConfigError, match='epsilon=-1; expected a number >= 0'):
        affinity(np.eye(4, dtype=np.int8), epsilon=-1)
