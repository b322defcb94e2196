"""Contexts: affinities and targets against plain loops, clusterings against planted blocks."""

import numpy as np
import pytest
import torch

from cssa_mm.errors import ConfigError, DataError
from cssa_mm.semi.contexts import AFFINITIES, METHODS, affinity, cluster_labels, context_targets


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


def brute_force_targets(labels, assignment, num_contexts, kind):
    rows = []
    for row in labels.tolist():
        members = [[v for v, a in zip(row, assignment, strict=True) if a == k] for k in range(num_contexts)]
        if kind == 'multi':
            rows.append([1 if 1 in m else 0 if m and all(v == 0 for v in m) else -1 for m in members])
        else:
            counts = [m.count(1) for m in members]
            best = counts.index(max(counts))
            rows.append([-1] * num_contexts if max(counts) == 0 else [int(k == best) for k in range(num_contexts)])
    return rows


@pytest.mark.parametrize('kind', ['multi', 'single'])
def test_context_targets_equal_brute_force(kind):
    rng = np.random.default_rng(1)
    for _ in range(200):
        num_contexts, num_classes = int(rng.integers(2, 6)), int(rng.integers(1, 12))
        assignment = rng.integers(0, num_contexts, num_classes)
        labels = torch.tensor(rng.choice([1, 0, -1], (9, num_classes), p=[0.2, 0.6, 0.2]), dtype=torch.int8)
        found = context_targets(labels, torch.tensor(assignment), num_contexts, kind)
        assert found.dtype == torch.int8
        assert found.tolist() == brute_force_targets(labels, assignment.tolist(), num_contexts, kind)
        assert torch.equal(found, context_targets(labels, assignment, num_contexts, kind))


def test_an_image_without_labels_is_off_in_every_context_and_masked_as_a_single_label():
    labels, assignment = torch.zeros(1, 4, dtype=torch.int8), torch.tensor([0, 1, 1, 0])
    assert context_targets(labels, assignment, 2, 'multi').tolist() == [[0, 0]]
    assert context_targets(labels, assignment, 2, 'single').tolist() == [[-1, -1]]


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
    with pytest.raises(ConfigError, match="Did you mean 'multi'"):
        context_targets(labels, torch.zeros(4), 2, 'mult')


def test_labels_and_assignment_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match='expected'):
        context_targets(torch.zeros(2, 3), torch.zeros(4), 2)
    with pytest.raises(DataError, match='ids from 0 to 2'):
        context_targets(torch.zeros(2, 3), torch.tensor([0, 1, 2]), 2)
    with pytest.raises(DataError, match='expected'):
        affinity(np.zeros(4))
