"""Calibration of scores against scikit-learn's calibration_curve and plain loops."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from cssa_mm.errors import DataError
from cssa_mm.evaluation import calibration as module
from cssa_mm.evaluation.calibration import (
    calibration,
    calibration_counts,
    expected_calibration_error,
    reliability,
)


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    scores = np.round(rng.random((400, 3)), 2)  # on edges, too
    truth = (rng.random((400, 3)) < scores**2).astype(np.int8)
    truth[rng.random((400, 3)) < 0.2] = -1
    return scores, truth


def test_the_reliability_table_is_scikit_learn_s_where_the_truth_is_known(cells):
    scores, truth = cells
    known = truth != -1
    positive, score = calibration_curve(truth[known], scores[known], n_bins=10, strategy='uniform')
    found = reliability(scores, truth)
    np.testing.assert_allclose(found['positive'], positive, rtol=1e-12)
    np.testing.assert_allclose(found['score'], score, rtol=1e-12)
    assert found['count'].sum() == known.sum()


def test_the_error_is_the_mean_distance_of_score_and_share_per_class_and_over_all(cells):
    scores, truth = cells
    found = calibration(scores, truth)

    def by_hand(scores, truth):
        bins = {}
        for score, label in zip(scores.tolist(), truth.tolist(), strict=True):
            if label != -1:
                bins.setdefault(max(int(np.ceil(round(score * 10, 6))) - 1, 0), []).append((score, label))
        gaps = [abs(sum(score - label for score, label in content)) for content in bins.values()]
        return sum(gaps) / sum(len(content) for content in bins.values())

    expected = [by_hand(scores[:, c], truth[:, c]) for c in range(3)]
    np.testing.assert_allclose(found['calibration_error'], expected, rtol=1e-9)
    assert found['overall_calibration_error'] == pytest.approx(by_hand(scores.ravel(), truth.ravel()))
    assert found['overall_calibration_error'] > 0.1


def test_the_counts_of_parts_add_up_to_those_of_all_and_lose_nothing(cells, monkeypatch):
    scores, truth = cells
    scores = np.random.default_rng(1).random(scores.shape).astype(np.float32)
    whole = calibration_counts(scores, truth)
    monkeypatch.setattr(module, 'CELLS', 50)
    assert np.array_equal(whole, sum(calibration_counts(scores[part::3], truth[part::3]) for part in range(3)))
    found, expected = calibration(scores, truth)['reliability'], reliability(scores, truth)
    assert np.array_equal(found['count'], expected['count'])
    for key in ('score', 'positive'):
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-13)


def test_scores_that_mean_what_they_say_have_hardly_an_error():
    rng = np.random.default_rng(1)
    scores = rng.random((200_000, 1))
    assert calibration(scores, rng.random((200_000, 1)) < scores)['overall_calibration_error'] < 0.01
    assert calibration(scores, rng.random((200_000, 1)) > scores)['overall_calibration_error'] > 0.4


def test_without_truth_there_is_no_error_and_an_empty_bin_is_nan():
    scores = np.array([[0.05, 0.95], [0.95, 0.95]])
    found = calibration(scores, np.full((2, 2), -1))
    assert np.isnan(found['calibration_error']).all()
    assert np.isnan(found['overall_calibration_error'])
    assert found['reliability']['count'].tolist() == [0] * 10
    table = reliability(scores, np.array([[0, -1], [1, 1]]))
    assert table['count'].tolist() == [1] + [0] * 8 + [2]
    assert np.isnan(table['positive'][1:9]).all()
    assert expected_calibration_error(table) == pytest.approx((0.05 + 2 * 0.05) / 3)


def test_shapes_that_differ_are_refused():
    with pytest.raises(DataError, match='Calibration'):
        calibration(np.zeros((2, 3)), np.zeros((2, 2)))
