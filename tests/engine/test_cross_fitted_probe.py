"""The linear probe with thresholds from labels that a probe did not see."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import cssa_mm  # noqa: F401
from cssa_mm.engine import CalibrationHook
from cssa_mm.engine.cross_fitted_probe import cross_fitted_probe
from cssa_mm.evaluation.linear_probe import probe_scores


@pytest.fixture
def data():
    """A training set of 90 images, its features, those of unlabelled and of test images."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(16, 3))
    features = rng.normal(size=(400, 16)).astype(np.float32)
    labels = (features @ directions + rng.normal(size=(400, 3)) > 2).astype(np.int8)
    train = SimpleNamespace(
        labels=labels[:90],
        labelled_indices=np.arange(90),
        image_ids=list(map(str, range(90))),
        groups=None,
        class_names=['dog', 'cat', 'cow'],
    )
    return train, features[:90], features[90:300], features[300:], labels[300:]


def test_raw_scores_are_those_of_the_probe_on_all_labels(data):
    train, labelled, references, test, _ = data
    raw, _ = cross_fitted_probe(train, labelled, references, test, 0.1, CalibrationHook())
    np.testing.assert_array_equal(raw, probe_scores(labelled, train.labels, test, 0.1).astype(np.float32))


def test_a_probe_that_knows_its_labels_by_heart_is_not_believed(data):
    """Sixteen dimensions and ninety images: scores of fitted labels say far more than those of new ones."""
    train, labelled, references, test, truth = data
    raw, found = cross_fitted_probe(train, labelled, references, test, 1e-6, CalibrationHook())
    calibrated = found.calibration(torch.from_numpy(raw)).numpy()
    assert ((calibrated - truth) ** 2).mean() < ((raw - truth) ** 2).mean() - 0.01
    assert found.thresholds.rule == 'f1'


def test_without_references_and_without_folds(data):
    train, labelled, references, test, _ = data
    _, found = cross_fitted_probe(train, labelled, references[:0], test, 0.1, CalibrationHook())
    assert (found.thresholds.rule, found.calibration.rule) == ('f1', 'platt')
    _, found = cross_fitted_probe(train, labelled, references, test, 0.1, CalibrationHook(folds=0))
    assert (found.thresholds.rule, found.calibration.rule) == ('rate', 'none')
    _, found = cross_fitted_probe(train, labelled, references, test, 0.1, CalibrationHook(rule='none'))
    assert found.thresholds.rule == 'default'
