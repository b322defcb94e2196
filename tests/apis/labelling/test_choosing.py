"""Which photos are chosen: doubtful ones, unlike each other, the same by the same seed."""

import numpy as np
import pytest

from cssa_mm.apis.labelling.choosing import choose, choose_randomly, signed_doubt


@pytest.mark.parametrize(
    ('score', 'threshold', 'expected'),
    [
        (0.5, 0.5, -0.5),
        (0.25, 0.5, 0.25),
        (1, 0.3, 0),
        (0, 0.3, 0),
        (0.15, 0.3, 0.25),
        (0.3, 0.3, -0.5),
        (0.9, 0.8, -0.25),
    ],
)
def test_doubt_is_half_at_the_threshold_and_none_where_the_score_is_certain(score, threshold, expected):
    assert signed_doubt(np.array([[score]]), np.array([threshold]))[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize('threshold', [0.0, 1.0])
def test_thresholds_at_the_ends_give_finite_doubts(threshold):
    doubt = signed_doubt(np.array([[0.0], [0.5], [1.0]]), np.array([threshold]))
    assert np.isfinite(doubt).all()
    assert (np.abs(doubt) <= 0.5).all()


def test_without_thresholds_those_that_rank_first_in_a_class_count():
    scores = np.random.default_rng(0).random((40, 4)) * [0.01, 0.1, 1, 0.5]
    doubt = signed_doubt(scores, np.full(4, np.nan))
    for column in range(4):
        assert doubt[:, column].argmax() == scores[:, column].argmax()
    assert ((doubt > 0).sum(axis=0) == 20).all()


def clusters(rng, sizes, dimension=8):
    """Features of groups that look alike, and the group of each."""
    centres = np.eye(dimension)[: len(sizes)] * 5
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return centres[groups] + 0.05 * rng.standard_normal((len(groups), dimension)), groups


def test_uncertain_photos_are_chosen_before_certain_ones():
    rng = np.random.default_rng(0)
    doubt = np.zeros((100, 3))
    doubt[:30] = rng.uniform(0.3, 0.5, (30, 3))
    for seed in range(5):
        rows = choose(doubt, rng.standard_normal((100, 8)), 20, seed)
        assert len(set(rows.tolist())) == 20
        assert (rows < 30).all()
    rows = choose(doubt, rng.standard_normal((100, 8)), 40, 0)
    assert set(range(30)) == set(rows[:30].tolist())


def test_photos_that_look_alike_are_not_chosen_together():
    """Oracle: nine tenths of the photos look alike; drawing by chance would miss most of the small groups."""
    rng = np.random.default_rng(1)
    features, groups = clusters(rng, [180, 4, 4, 4, 4, 4])
    doubt = np.full((200, 3), 0.4)
    for seed in range(5):
        assert len(set(groups[choose(doubt, features, 6, seed)].tolist())) >= 5


def test_photos_with_the_same_doubts_are_not_chosen_together():
    doubt = np.full((200, 6), 0.01)
    kinds = np.repeat(np.arange(6), [180, 4, 4, 4, 4, 4])
    doubt[np.arange(200), kinds] = 0.5
    for seed in range(5):
        rows = choose(doubt, np.ones((200, 8)), 6, seed)  # all of them look alike
        assert len(set(kinds[rows].tolist())) >= 5


def test_the_seed_decides_and_nothing_else():
    rng = np.random.default_rng(3)
    doubt, features = rng.uniform(-0.5, 0.5, (300, 30)), rng.standard_normal((300, 90))
    first = choose(doubt, features, 20, 5)
    np.random.rand()
    assert (first == choose(doubt, features, 20, 5)).all()
    assert set(first.tolist()) != set(choose(doubt, features, 20, 6).tolist())
    assert (choose_randomly(300, 20, 5) == choose_randomly(300, 20, 5)).all()
    assert len(set(choose_randomly(300, 20, 5).tolist())) == 20


@pytest.mark.parametrize('number', [1, 5, 20])
def test_photos_that_are_all_alike_or_few_are_each_chosen_once(number):
    rows = choose(np.full((number, 2), 0.3), np.ones((number, 4)), 10, 0)
    assert len(rows) == min(number, 10)
    assert len(set(rows.tolist())) == len(rows)
