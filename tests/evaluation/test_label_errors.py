import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from cssa_mm.evaluation.label_errors import ErrorPair, Suspect, error_pairs, self_confidence, suspected_errors

LABELS = np.array([[1, 0, -1], [0, 1, 1]])
SCORES = np.array([[0.2, 0.4, 0.1], [0.9, 0.8, 0.45]])


def test_the_confidence_of_a_label_is_the_probability_of_what_is_given():
    np.testing.assert_allclose(self_confidence(LABELS, SCORES), [[0.2, 0.6, np.nan], [0.1, 0.8, 0.45]])


def test_the_least_probable_labels_come_first_and_probable_or_unknown_ones_never():
    found = suspected_errors(LABELS, SCORES, most=10)
    assert [each[:3] for each in found] == [(1, 0, 0), (0, 0, 1), (1, 2, 1)]
    assert found[0] == Suspect(1, 0, 0, pytest.approx(0.1))
    assert len(suspected_errors(LABELS, SCORES, most=2)) == 2


@pytest.fixture
def planted():
    """Labels of which some were turned around, the calibrated scores of a decent model, and which were turned."""
    rng = np.random.default_rng(0)
    truth = (rng.random((300, 8)) < 0.2).astype(int)
    logits = np.where(truth == 1, 1.5, -2.5) + rng.normal(0, 1.2, truth.shape)
    wrong = rng.random(truth.shape) < 0.04
    return np.where(wrong, 1 - truth, truth), 1 / (1 + np.exp(-logits)), wrong


def test_planted_errors_stand_first(planted):
    labels, scores, wrong = planted
    found = suspected_errors(labels, scores, most=int(wrong.sum()))
    hits = np.mean([wrong[each.row, each.class_index] for each in found])
    assert hits > 0.6 > 5 * wrong.mean()


def test_planted_errors_are_found_no_worse_than_by_cleanlab(planted):
    """The quality of each label there is that of a class alone, as its method 'self_confidence' has it."""
    rank = pytest.importorskip('cleanlab.rank', reason='cleanlab is no dependency')
    labels, scores, wrong = planted
    theirs = np.stack(
        [
            rank.get_label_quality_scores(labels[:, c], np.stack([1 - scores[:, c], scores[:, c]], 1))
            for c in range(labels.shape[1])
        ],
        axis=1,
    )
    ours = self_confidence(labels, scores)
    found, reference = (average_precision_score(wrong.ravel(), -each.ravel()) for each in (ours, theirs))
    assert found >= reference - 1e-9


def test_errors_that_meet_more_often_than_by_chance_are_paired():
    labels = np.zeros((40, 3), int)
    predicted = np.zeros((40, 3), bool)
    labels[:10, 0] = 1  # missed ...
    predicted[:9, 1] = True  # ... where another is given in its place
    predicted[20:22, 2] = True
    (pair,) = error_pairs(predicted, labels, most=5)
    assert pair == ErrorPair((1, 'wrong'), (0, 'missed'), 9, pytest.approx(9 * 10 / 40))
    labels[:10, 0] = -1
    assert error_pairs(predicted, labels, most=5) == []
