"""What the labelled images tell. Oracle of the contexts: the clustering, given the labels as the files hold them."""

import copy

import numpy as np
import pytest
import torch

from cssa_mm.errors import DataError
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.semi import statistics
from cssa_mm.semi.contexts import affinity, cluster_labels
from cssa_mm.semi.statistics import (
    broadcast_from_first,
    broadcast_stored,
    check_same_classes,
    labels_used,
    set_contexts,
    taught_classes,
)


@pytest.fixture
def model(make_model):
    """A model without contexts yet."""
    model = make_model().train()
    model.context_head.assignment.fill_(-1)
    return model


@pytest.mark.smoke
def test_contexts_are_the_clusters_of_the_labelled_images(model, dataset):
    set_contexts(model, dataset, seed=3)
    labelled = dataset.hidden_labels[dataset.is_labelled]
    expected = cluster_labels(affinity(labelled, 'conditional'), 2, 'spectral', 3)
    assert model.context_head.assignment.tolist() == expected.tolist()
    assert sorted(set(expected.tolist())) == [0, 1]


def test_affinity_method_and_seed_of_the_head_and_the_settings_decide(model, dataset, monkeypatch):
    asked = []
    monkeypatch.setattr(statistics, 'cluster_labels', lambda *options: asked.append(options) or np.zeros(6, np.int64))
    model.context_head.affinity, model.context_head.method = 'jaccard', 'kmeans'
    set_contexts(model, dataset, seed=5)
    ((weights, *options),) = asked
    np.testing.assert_array_equal(weights, affinity(dataset.labels[dataset.labelled_indices], 'jaccard'))
    assert options == [2, 'kmeans', 5]


def test_contexts_of_a_checkpoint_stay(model, dataset):
    model.context_head.assignment.copy_(torch.tensor([0, 0, 0, 1, 1, 1]))
    set_contexts(model, dataset, seed=0)
    assert model.context_head.assignment.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_model_without_context_head_needs_no_contexts(make_model, dataset):
    set_contexts(make_model(context_head=None), dataset, seed=0)


def test_hidden_labels_have_no_influence(model, dataset):
    other, changed = copy.deepcopy(model), copy.deepcopy(dataset)
    unlabelled = changed.unlabelled_indices
    changed.hidden_labels[unlabelled] = 1 - changed.hidden_labels[unlabelled]
    for module, data in ((model, dataset), (other, changed)):
        set_contexts(module, data, seed=0)
    assert torch.equal(model.context_head.assignment, other.context_head.assignment)
    assert torch.equal(taught_classes(dataset.labels), taught_classes(changed.labels))
    assert labels_used(dataset) == labels_used(changed)


def test_classes_that_differ_between_model_and_data_are_named(make_model, dataset):
    check_same_classes(make_model(), dataset)
    model = make_model(class_names=['dog', 'cat'], context_head=None)
    with pytest.raises(DataError) as error:
        check_same_classes(model, dataset)
    assert str(error.value) == (
        'train_dataloader.dataset: found the classes dog, cat, traffic light, ... (6), expected those of '
        'the model, dog, cat (2); make the two the same'
    )
    with pytest.raises(DataError, match='^test_dataloader.dataset: found'):
        check_same_classes(model, dataset, 'test_dataloader.dataset')


def test_the_same_classes_in_another_order_are_others(make_model, dataset):
    with pytest.raises(DataError, match='found the classes dog, cat'):
        check_same_classes(make_model(class_names=dataset.class_names[::-1]), dataset)


def test_taught_are_the_classes_that_a_label_shows():
    labels = np.array([[1, 0, -1, -1], [0, 0, -1, 1], [-1, -1, -1, -1]], np.int8)
    assert taught_classes(labels).tolist() == [True, False, False, True]
    assert taught_classes(labels).dtype == torch.bool


def test_the_labels_that_are_used_are_counted(dataset):
    dataset.labels = np.full_like(dataset.labels, -1)
    dataset.labels[0] = [1, 0, 0, 1, -1, -1]
    dataset.labels[7] = [0, 0, 0, 0, 1, -1]
    assert labels_used(dataset) == (
        'Labels used: 2 of 40 training images are labelled (5.0%), with 9 known cells, 3 of them positive; 38 images '
        'are unlabelled.'
    )


def test_every_tensor_is_broadcast_in_place(monkeypatch):
    first = iter([torch.tensor([1.0, 2.0]), torch.tensor(True)])
    monkeypatch.setattr(statistics, 'broadcast', lambda tensor: tensor.copy_(next(first)))
    tensors = [torch.nn.Parameter(torch.zeros(2)), torch.tensor(False)]
    broadcast_from_first(tensors)
    assert tensors[0].tolist() == [1.0, 2.0]
    assert tensors[0].requires_grad
    assert bool(tensors[1])


STORE = """
import sys
import torch
from mmengine.dist import all_gather_object, get_rank
import cssa_mm
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.semi.statistics import broadcast_stored
torch.set_num_threads(1)
torch.manual_seed(0)
neighbours = Neighbours(4, 3, 2, k=3)
pooled, values, queries = torch.randn(9, 4), torch.randn(9, 2, 3), torch.randn(5, 4)
for count in (9, 7, 7):  # another number of images than before, and the same
    if get_rank() == 0:
        neighbours.store(pooled[:count])
        neighbours.keep(values[:count])
    broadcast_stored(neighbours)
    found = all_gather_object((len(neighbours.keys), neighbours(queries)))
    assert found[0][0] == found[1][0] == count, found
    assert torch.equal(found[0][1], found[1][1]) and found[0][1].abs().max() > 0, found
    values = values + 1
"""


@pytest.mark.slow
def test_two_processes_have_the_stored_images_of_the_first(two_ranks):
    two_ranks(STORE)


def test_one_process_keeps_its_stored_images():
    neighbours = Neighbours(4, 3, 2)
    neighbours.store(torch.randn(9, 4))
    keys = neighbours.keys.clone()
    broadcast_stored(neighbours)
    assert torch.equal(neighbours.keys, keys)
