"""Calibration and thresholds from the scores of folds."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

import cssa_mm  # noqa: F401
from cssa_mm.engine.found_thresholds import FoldScores, find
from cssa_mm.evaluation.calibration import expected_calibration_error, reliability

NAMES = ['dog', 'cat', 'cow', 'tram']


def case(seed=0, labelled=200, unlabelled=600, shift=(0.0, 0.0), stretch=(1.0, 1.0)):
    """Two folds and references of a model whose raw logits are twice too large; `shift` moves those of each fold."""
    rng = np.random.default_rng(seed)
    truth_logits = rng.normal(-1.5, 1.5, size=(labelled + unlabelled, 4))
    labels = (rng.random((labelled, 4)) < expit(truth_logits[:labelled])).astype(np.int8)
    raw = 2 * truth_logits
    references = expit(raw[labelled:])
    folds = []
    for number in range(2):
        rows = np.arange(number, labelled, 2)
        moved = stretch[number] * raw + shift[number]
        folds.append((FoldScores(rows, expit(moved[rows]), expit(moved[labelled:])), labels[rows]))
    return references, labels, folds, truth_logits


@pytest.mark.smoke
def test_scores_become_calibrated():
    references, labels, folds, truth_logits = case(labelled=1000)
    found = find('f1', references, labels, folds, NAMES)
    calibrated = found.calibration(torch.from_numpy(references)).numpy()
    assert np.abs(calibrated - expit(truth_logits[1000:])).mean() < 0.03
    fresh = np.random.default_rng(1).random(calibrated.shape) < expit(truth_logits[1000:])
    before, after = (
        expected_calibration_error(reliability(scores, fresh.astype(int))) for scores in (references, calibrated)
    )
    assert after < 0.03 < before


def test_folds_on_another_level_give_the_same_result():
    """Two trainings agree on the order of images, not on the level of their scores."""
    plain = find('f1', *case()[:3], NAMES)
    moved = find('f1', *case(shift=(3.0, -2.0), stretch=(0.5, 1.7))[:3], NAMES)
    np.testing.assert_allclose(moved.calibration.slope, plain.calibration.slope, rtol=1e-3)
    np.testing.assert_allclose(moved.thresholds.values, plain.thresholds.values, rtol=1e-3)


def test_what_each_threshold_rests_on_is_told():
    references, labels, folds, _ = case(labelled=100)
    labels[:, 3] = 0
    labels[:3, 3] = 1
    found = find('f1', references, labels, folds, NAMES, min_positives=10)
    assert found.thresholds.positives == tuple((labels == 1).sum(0).tolist())
    assert found.thresholds.sources == ('own', 'own', 'own', 'pooled')
    text = '\n'.join(found.lines)
    assert 'of 1 of 4 classes rest on fewer than 10 labelled positives' in text
    assert 'tram (3)' in text
    assert 'CF1' in text
    assert 'before' in text


def test_rules():
    references, labels, folds, _ = case()
    assert len(set(find('one', references, labels, folds, NAMES).thresholds.values)) == 1
    found = find('rate', references, labels, folds, NAMES)
    reached = found.thresholds.reached(found.calibration(torch.from_numpy(references)).numpy())
    assert reached.mean(0) == pytest.approx((labels == 1).mean(0), abs=0.01)


def test_without_folds_thresholds_follow_the_rates_and_scores_stay_raw():
    references, labels, _, _ = case()
    found = find('f1', references, labels, [], NAMES)
    assert (found.thresholds.rule, found.calibration.rule) == ('rate', 'none')
    assert found.thresholds.reached(references).mean(0) == pytest.approx((labels == 1).mean(0), abs=0.01)


def test_without_unlabelled_images_the_held_out_ones_speak():
    references, labels, folds, _ = case()
    folds = [(fold._replace(references=fold.references[:0]), truth) for fold, truth in folds]
    found = find('f1', references[:0], labels, folds, NAMES)
    assert (found.thresholds.rule, found.calibration.rule) == ('f1', 'platt')
    nothing = find('f1', references[:0], labels, [], NAMES)
    assert nothing.thresholds.rule == 'default'
    assert set(nothing.thresholds.values) == {0.5}


def test_labels_without_any_positive_change_nothing():
    references, labels, folds, _ = case()
    folds = [(fold, np.zeros_like(truth)) for fold, truth in folds]
    found = find('f1', references, np.zeros_like(labels), folds, NAMES)
    assert found.calibration.rule == 'none'
    assert found.thresholds.rule == 'rate'


def test_untrained_names_get_one_map():
    references, labels, folds, truth_logits = case()
    cosines = 0.02 * truth_logits[: len(labels)] + 0.2
    found = find('f1', references, labels, folds, NAMES, similarity=cosines)
    expected = expit(truth_logits[: len(labels)])
    assert np.abs(expit(found.zero_shot.slope * cosines + found.zero_shot.offset) - expected).mean() < 0.05
    assert np.isfinite(logit(found.zero_shot.threshold))


def test_scores_that_are_not_finite_give_no_thresholds():
    references, labels, folds, _ = case()
    folds[1][0].scores[3, 2] = np.nan
    found = find('f1', references, labels, folds, NAMES)
    assert (found.thresholds.rule, found.calibration.rule) == ('default', 'none')
    assert found.lines == (
        'Thresholds: .5 for every class on raw scores, as scores are not finite: the training has diverged; lower the '
        'learning rate',
    )


def test_a_handful_of_unlabelled_images_is_no_scale():
    """One image has no deviation: standardised by it, scores would be millions."""
    references, labels, folds, _ = case()
    none = [(fold._replace(references=fold.references[:0]), truth) for fold, truth in folds]
    few = [(fold._replace(references=fold.references[:1]), truth) for fold, truth in folds]
    expected = find('f1', references[:0], labels, none, NAMES)
    found = find('f1', references[:1], labels, few, NAMES)
    assert (found.calibration, found.thresholds) == (expected.calibration, expected.thresholds)
    assert find('rate', references[:1], labels, [], NAMES).thresholds.rule == 'default'


def test_bad_images_say_nothing_of_the_scale():
    references, labels, folds, _ = case()
    expected = find('f1', references[:0], labels, folds, NAMES)
    spoiled = [
        (
            fold._replace(scores=np.concatenate([fold.scores, np.full((30, 4), 1e-9)])),
            np.concatenate([truth, np.full((30, 4), -1, np.int8)]),
        )
        for fold, truth in folds
    ]
    found = find('f1', references[:0], labels, spoiled, NAMES)
    assert (found.calibration, found.thresholds) == (expected.calibration, expected.thresholds)


@pytest.mark.parametrize('rule', ['f1', 'rate'])
def test_scores_that_are_all_alike_are_all_above_their_threshold_or_all_below(rule):
    """A threshold in float64 would lie above the same score in float32."""
    references, labels, folds, _ = case(labelled=1000)
    for value in np.linspace(0.3, 0.7, 9):
        references[:, 0] = value
        found = find(rule, references.astype(np.float32), labels, folds, NAMES)
        scores = found.calibration(torch.from_numpy(references.astype(np.float32))).numpy()
        assert found.thresholds.reached(scores)[:, 0].all()


def test_only_pooled_thresholds_are_said_to_lean_on_others():
    references, labels, _, _ = case(labelled=20)
    found = find('rate', references, labels, [], NAMES, min_positives=30)
    assert 'fewer than 30 labelled positives: dog' in '\n'.join(found.lines)
    assert set(found.thresholds.sources) == {'own'}
