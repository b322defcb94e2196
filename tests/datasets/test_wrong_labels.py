"""Wrong labels on purpose: how many, which, and that the truth stays the truth."""

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.wrong_labels import move_positives, swapped_column
from cssa_mm.errors import ConfigError


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    return rng.choice([1, 0, -1], (200, 8), p=[0.3, 0.6, 0.1]).astype(np.int8)


@pytest.mark.parametrize('share', [0.1, 0.25, 0.4])
def test_a_share_of_the_positives_moves_to_classes_that_the_image_does_not_show(labels, share):
    before = labels.copy()
    wrong = move_positives(labels, share, seed=3)
    assert np.array_equal(labels, before)
    assert ((labels == 1) & (wrong != 1)).sum() == round(share * (labels == 1).sum())
    assert np.array_equal((labels == 1).sum(1), (wrong == 1).sum(1))
    assert np.array_equal(labels == -1, wrong == -1)
    assert (labels[(wrong == 1) & (labels != 1)] == 0).all()
    # Every class loses and takes some: no favourite.
    assert (((labels == 1) & (wrong == 0)).sum(0) > 0).all()
    assert (((labels == 0) & (wrong == 1)).sum(0) > 0).all()


def test_the_seed_alone_decides_and_a_larger_share_keeps_the_errors_of_a_smaller_one(labels):
    assert np.array_equal(move_positives(labels, 0.2, 1), move_positives(labels, 0.2, 1))
    assert not np.array_equal(move_positives(labels, 0.2, 1), move_positives(labels, 0.2, 2))
    small, large = (move_positives(labels, share, 1) == 1 for share in (0.1, 0.3))
    lost = (labels == 1) & ~small
    assert (lost & large).sum() == 0
    assert np.array_equal(move_positives(labels, 0.0, 1), labels)


def test_an_image_without_a_negative_keeps_its_labels():
    labels = np.array([[1, 1, 1], [1, -1, 1], [1, 0, 1]], np.int8)
    for seed in range(10):
        wrong = move_positives(labels, 1.0, seed)
        assert np.array_equal(wrong[:2], labels[:2])
        assert wrong[2].tolist() in ([0, 1, 1], [1, 1, 0])


def swapped_rows(labels, share, rng):
    return np.stack([swapped_column(column, share, rng) for column in labels.T], axis=1)


@pytest.mark.parametrize('share', [0.1, 0.5, 1.0])
def test_pseudo_positives_trade_places_with_negatives_of_their_class(labels, share):
    source = swapped_rows(labels, share, np.random.default_rng(1))
    swapped = np.take_along_axis(labels, source, 0)
    assert np.array_equal(np.sort(source, 0), np.tile(np.arange(200)[:, None], (1, 8)))
    for c in range(8):
        positives, negatives = (labels[:, c] == 1).sum(), (labels[:, c] == 0).sum()
        lost = (labels[:, c] == 1) & (swapped[:, c] == 0)
        assert lost.sum() == min(round(share * positives), negatives)
        assert ((labels[:, c] == 0) & (swapped[:, c] == 1)).sum() == lost.sum()
    assert np.array_equal(labels == -1, swapped == -1)


def test_a_class_with_fewer_negatives_than_positives_swaps_what_it_has():
    labels = np.array([[1], [1], [1], [0], [-1]], np.int8)
    swapped = np.take_along_axis(labels, swapped_rows(labels, 1.0, np.random.default_rng(0)), 0)
    assert (swapped == 1).sum() == 3
    assert swapped[3:, 0].tolist() == [1, -1]


def test_a_data_set_trains_on_wrong_labels_and_is_measured_by_the_true_ones(tiny_config):
    key = 'train_dataloader.dataset.wrong_labels'
    build = lambda share, **other: DATASETS.build(tiny_config(**{key: share} | other).train_dataloader.dataset)  # noqa: E731
    clean, noisy = build(0.0), build(0.3)
    assert np.array_equal(clean.hidden_labels, noisy.hidden_labels)
    assert clean.image_ids == noisy.image_ids
    assert np.array_equal(clean.is_labelled, noisy.is_labelled)
    assert (noisy.labels[noisy.unlabelled_indices] == -1).all()
    known = noisy.labelled_indices
    positives = (clean.labels[known] == 1).sum()
    assert ((clean.labels[known] == 1) & (noisy.labels[known] == 0)).sum() == round(0.3 * positives)
    assert np.array_equal(noisy.labels, build(0.3).labels)
    changed = next(index for index in known if (clean.labels[index] != noisy.labels[index]).any())
    assert noisy.get_data_info(changed)['gt_score'].tolist() == noisy.labels[changed].tolist()
    # The seed of the split is that of the errors.
    for seed in (1, 2):
        split = {'train_dataloader.dataset.split': dict(proportion=0.4, seed=seed)}
        expected = move_positives(build(0.0, **split).labels, 0.3, seed)
        assert np.array_equal(build(0.3, **split).labels, expected)


@pytest.mark.parametrize('share', [-0.1, 1.5, 'many', True])
def test_a_share_that_is_none_is_refused_with_its_place(tiny_config, share):
    with pytest.raises(ConfigError, match='wrong_labels: found .* expected a number from 0 to 1'):
        DATASETS.build(tiny_config(**{'train_dataloader.dataset.wrong_labels': share}).train_dataloader.dataset)
