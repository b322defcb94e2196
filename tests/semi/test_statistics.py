import copy

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS

from cssa_mm.errors import DataError
from cssa_mm.semi.contexts import affinity, cluster_labels
from cssa_mm.semi.labelled_statistics import LabelledStatisticsHook

PLAIN_VIEW = [dict(type='LoadRGBImage'), dict(type='PackInputs', meta_keys=('image_id', 'is_labelled'))]


@pytest.fixture
def dataset(tiny_config):
    return DATASETS.build(tiny_config().train_dataloader.dataset)


@pytest.fixture
def model(make_model):
    model = make_model().train()
    model.context_head.assignment.fill_(-1)
    return model


@pytest.mark.smoke
def test_contexts_are_the_clusters_of_the_labelled_images(model, dataset):
    LabelledStatisticsHook(seed=3).prepare(model, dataset, PLAIN_VIEW)
    labelled = dataset.hidden_labels[dataset.is_labelled]
    expected = cluster_labels(affinity(labelled, 'conditional'), 2, 'spectral', 3)
    assert model.context_head.assignment.tolist() == expected.tolist()
    assert sorted(set(expected.tolist())) == [0, 1]


def test_hidden_labels_have_no_influence(model, dataset):
    other, changed = copy.deepcopy(model), copy.deepcopy(dataset)
    unlabelled = changed.unlabelled_indices
    changed.hidden_labels[unlabelled] = 1 - changed.hidden_labels[unlabelled]
    for module, data in ((model, dataset), (other, changed)):
        LabelledStatisticsHook().prepare(module, data, PLAIN_VIEW)
    assert torch.equal(model.head.bias, other.head.bias)
    assert torch.equal(model.context_head.assignment, other.context_head.assignment)


def test_the_bias_makes_the_mean_score_of_labelled_images_their_rate_for_student_and_teacher(model, dataset):
    LabelledStatisticsHook().prepare(model, dataset, PLAIN_VIEW)
    assert model.training
    data = dataset.with_pipeline(PLAIN_VIEW, dataset.labelled_indices)
    images = torch.stack([data[i]['inputs'] for i in range(len(data))])
    inputs = model.data_preprocessor(dict(inputs=images))['inputs']
    predicted = model.eval().predict(inputs)
    rates = ((dataset.labels[dataset.labelled_indices] == 1).sum(0) + 0.5) / 17
    for key in ('student_score', 'pred_score'):
        means = torch.stack([sample.get(key) for sample in predicted]).mean(0)
        np.testing.assert_allclose(means.numpy(), rates, rtol=1e-3)
    assert int(model.teacher.steps) == 0


def test_without_calibration_the_bias_stays(model, dataset):
    LabelledStatisticsHook(calibrate_bias=False).prepare(model, dataset, PLAIN_VIEW)
    assert model.head.bias.tolist() == [0.0] * 6
    assert not bool(model.head.bias_is_calibrated)


def test_a_model_from_a_checkpoint_keeps_its_bias_and_contexts(model, dataset):
    model.context_head.assignment.copy_(torch.tensor([0, 0, 0, 1, 1, 1]))
    model.head.bias_is_calibrated.fill_(True)
    with torch.no_grad():
        model.head.bias.fill_(0.7)
    model.teacher.steps.fill_(9)
    LabelledStatisticsHook().prepare(model, dataset, PLAIN_VIEW)
    assert model.context_head.assignment.tolist() == [0, 0, 0, 1, 1, 1]
    assert model.head.bias.tolist() == pytest.approx([0.7] * 6)
    assert int(model.teacher.steps) == 9


def test_a_model_without_context_head_is_only_calibrated(make_model, dataset):
    model = make_model(context_head=None)
    LabelledStatisticsHook().prepare(model, dataset, PLAIN_VIEW)
    assert bool(model.head.bias_is_calibrated)


def test_classes_that_differ_between_model_and_data_are_named(make_model, dataset):
    model = make_model(class_names=['dog', 'cat'], context_head=None)
    with pytest.raises(DataError) as error:
        LabelledStatisticsHook().prepare(model, dataset, PLAIN_VIEW)
    assert str(error.value) == (
        'train_dataloader.dataset: found the classes dog, cat, traffic light, ... (6), expected those of '
        'model.class_names, dog, cat (2); make the two the same'
    )


@pytest.mark.parametrize('mask', [True, False])
def test_classes_that_no_labelled_image_shows_are_not_taught(model, dataset, mask):
    dataset.labels[dataset.is_labelled, 1] = 0
    LabelledStatisticsHook(mask_unseen_classes=mask).prepare(model, dataset, PLAIN_VIEW)
    expected = [True] * len(dataset.class_names)
    expected[1] = not mask
    assert model.is_taught.tolist() == expected
