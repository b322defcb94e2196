"""Calibration and thresholds, against data whose truth is known and against brute force."""

import numpy as np
import pytest
from scipy.special import expit

import cssa_mm  # noqa: F401
from cssa_mm.evaluation.score_fitting import (
    Spread,
    expected_f1_thresholds,
    fit_maps,
    fit_shared_map,
    logits,
    one_threshold,
    rate_thresholds,
    smoothed_rates,
)


def drawn(num_images, slopes, offsets, seed=0):
    """Standard normal values (n, C), and labels that are positive with probability expit(slope * value + offset)."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(num_images, len(slopes)))
    return values, (rng.random(values.shape) < expit(np.array(slopes) * values + offsets)).astype(np.int8)


def f1_of(positive, predicted):
    return 2 * (positive & predicted).sum() / max(positive.sum() + predicted.sum(), 1)


@pytest.mark.smoke
def test_with_many_labels_each_class_gets_its_own_map():
    slopes, offsets = [1.0, 2.0, 3.0], [0.0, -1.0, -2.0]
    maps = fit_maps(*drawn(4000, slopes, offsets))
    np.testing.assert_allclose(maps.slope, slopes, rtol=0.12)
    np.testing.assert_allclose(maps.offset, offsets, atol=0.15)


def test_a_class_with_few_labels_leans_on_the_others():
    slopes = [2.0] * 5 + [0.2]
    values, labels = drawn(1500, slopes, [0.0] * 6, seed=1)
    labels[20:, 5] = -1  # twenty known cells
    few, pooled = fit_maps(values, labels).slope[5], fit_maps(values, labels).slope[:5].mean()
    values, labels = drawn(1500, slopes, [0.0] * 6, seed=1)
    many = fit_maps(values, labels).slope[5]
    assert abs(many - 0.2) < 0.15
    assert many + 0.3 < few < pooled


def test_no_ranking_turns_around_and_a_class_without_positives_has_a_finite_map():
    values, labels = drawn(800, [2.0, 2.0, -3.0], [0.0, 0.0, 0.0], seed=2)
    labels[:, 1] = 0
    maps = fit_maps(values, labels)
    assert (maps.slope > 0).all()
    assert np.isfinite(maps.offset).all()
    assert maps(np.zeros((1, 3)))[0, 1] < 0.1 < maps(np.zeros((1, 3)))[0, 0]


def test_unknown_cells_count_for_nothing():
    values, labels = drawn(300, [2.0, 1.0], [0.0, -1.0], seed=3)
    labels[:150, 0] = -1
    other = np.where(labels == -1, 9.0, values)
    for ours, theirs in zip(fit_maps(values, labels), fit_maps(other, labels), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('label', [0, 1, -1])
def test_labels_that_are_all_alike_fit_nothing(label):
    values, labels = np.zeros((5, 2)), np.full((5, 2), label)
    assert fit_maps(values, labels) is None
    assert fit_shared_map(values, labels) is None


def test_a_map_of_standardised_logits_is_one_of_raw_logits():
    rng = np.random.default_rng(4)
    scores = rng.random((50, 3)).astype(np.float32)
    spread = Spread.of(scores)
    maps = fit_maps(spread.standardised(scores), (rng.random((50, 3)) < scores).astype(np.int8))
    np.testing.assert_allclose(maps(spread.standardised(scores)), maps.of_raw(spread)(logits(scores)), rtol=1e-9)


def test_logits_are_finite_and_no_two_scores_become_equal():
    scores = np.array([0.0, 1e-44, 1e-30, 0.5, np.float32(1) - np.float32(6e-8), 1.0], np.float32)
    found = logits(scores)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize('seed', range(4))
def test_expected_f1_equals_brute_force_over_every_cut(seed):
    scores = np.random.default_rng(seed).beta(0.3, 2, size=(40, 3))
    found = expected_f1_thresholds(scores)
    for column, threshold in zip(scores.T, found, strict=True):

        def expected(cut, column=column):
            chosen = column >= cut
            return 2 * column[chosen].sum() / (chosen.sum() + column.sum())

        assert expected(threshold) == pytest.approx(max(expected(cut) for cut in column))


def test_for_calibrated_scores_the_threshold_is_near_the_best_one_for_the_truth():
    scores = np.random.default_rng(5).beta(0.4, 2, size=(20000, 1))
    truth = np.random.default_rng(6).random(scores.shape) < scores
    best = max(f1_of(truth, scores >= cut) for cut in np.linspace(0.02, 0.98, 97))
    assert f1_of(truth, scores >= expected_f1_thresholds(scores)) > best - 0.005


def test_the_rate_rule_gives_a_label_to_that_share_of_images():
    scores = np.random.default_rng(7).random((1000, 2))
    found = rate_thresholds(scores, np.array([0.1, 0.35]))
    assert (scores >= found).mean(0) == pytest.approx([0.1, 0.35], abs=2e-3)


def test_one_threshold_is_the_best_of_the_grid():
    values, labels = drawn(400, [2.0, 3.0], [-1.0, -2.0], seed=8)
    labels[::7] = -1
    scores, known = expit(2 * values - 1.5), labels >= 0
    found = one_threshold(scores, labels)
    best = max(f1_of(labels[known] == 1, scores[known] >= cut) for cut in np.arange(1, 100) / 100)
    assert f1_of(labels[known] == 1, scores[known] >= found) == pytest.approx(best)


def test_the_shared_map_of_cosines_is_found_again_and_a_useless_one_refused():
    rng = np.random.default_rng(9)
    cosines = rng.normal(0.2, 0.05, size=(3000, 4))
    labels = (rng.random(cosines.shape) < expit(40 * cosines - 10)).astype(np.int8)
    slope, offset, threshold = fit_shared_map(cosines, labels)
    assert slope == pytest.approx(40, rel=0.1)
    assert offset == pytest.approx(-10, rel=0.1)
    assert 0.1 < threshold < 0.6
    assert fit_shared_map(-cosines, labels) is None


def test_rates_are_smoothed_and_skip_unknown_cells():
    labels = np.array([[1, 0], [0, 0], [-1, 0]])
    np.testing.assert_allclose(smoothed_rates(labels), [1.5 / 3, 0.5 / 4])


def test_a_class_without_known_cells_has_the_rate_of_all():
    labels = np.array([[1, 0, -1], [0, 0, -1], [0, 0, -1]])
    np.testing.assert_allclose(smoothed_rates(labels), [1.5 / 4, 0.5 / 4, 1.5 / 7])


def test_of_very_many_images_those_that_are_fitted_to_are_spread_over_all(monkeypatch):
    """A data set may be sorted by class: its first images show none of the others."""
    values, labels = drawn(4000, [2.0, 2.0], [-1.0, -1.0], seed=4)
    order = np.argsort(labels[:, 1], kind='stable')  # the second class comes last
    whole = fit_maps(values[order], labels[order])
    monkeypatch.setattr('cssa_mm.evaluation.score_fitting.MOST_IMAGES', 1000)
    np.testing.assert_allclose(fit_maps(values[order], labels[order]).offset, whole.offset, atol=0.3)
