"""What labelled and unlabelled images give an untrained model."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS, HOOKS

import cssa_mm
from cssa_mm.apis.loading import untrained_model
from cssa_mm.apis.untrained import start_untrained

NEIGHBOURS = {'model.neighbours': dict(type='Neighbours', k=5)}
EVIDENCE = {'model.evidence': dict(type='DiscriminantEvidence')}


@pytest.fixture
def started(tiny_config):
    """started(**overrides) -> an untrained model with what its config's training images say, and the config."""

    def start(**overrides):
        config = cssa_mm.load_config(tiny_config(**overrides))
        model = untrained_model(config, device='cpu')
        start_untrained(model, config)
        return model.eval(), config

    return start


@pytest.fixture
def features(started):
    """features(which) -> local and global features of the training images: all, the labelled or the unlabelled ones."""
    model, config = started()
    data = DATASETS.build(config.train_dataloader.dataset)
    hook = HOOKS.build(config.default_hooks.pseudo_labels)
    parts = dict(all=np.arange(len(data)), labelled=data.labelled_indices, unlabelled=data.unlabelled_indices)

    def of(which):
        batches = hook.features(model, data, config).batches(parts[which], which)
        return tuple(torch.cat(part) for part in zip(*batches, strict=True))

    return of


def test_neighbours_are_the_training_images_labelled_and_unlabelled(started, features):
    model, _ = started(**NEIGHBOURS)
    plain, _ = started()
    local, pooled = (torch.cat(parts) for parts in zip(features('labelled'), features('unlabelled'), strict=True))
    assert len(model.neighbours.keys) == len(pooled) == 40
    logits = plain.logits(local, pooled)
    expected = cssa_mm.models.Neighbours(16, 6, k=5)
    expected.fit_logits(logits, pooled, expected.store(pooled))
    torch.testing.assert_close(model.logits(local, pooled), expected.smooth(logits, pooled), atol=1e-3, rtol=0)
    assert (model.logits(local, pooled) - logits).abs().max() > 0.01


def test_evidence_that_was_never_fitted_leaves_neighbours_out(started, features):
    """What "zero-shot" means of `cssa_plus`: CLIP's own answer."""
    both, _ = started(**NEIGHBOURS, **EVIDENCE)
    plain, _ = started()
    assert torch.equal(both.logits(*features('all')), plain.logits(*features('all')))
    assert both.thresholds == plain.thresholds


def test_thresholds_rest_on_scores_with_neighbours(started):
    assert started(**NEIGHBOURS)[0].thresholds != started()[0].thresholds


def test_scores_of_labelled_images_are_held_out(started, features):
    """The store without a labelled image gives that image the same score: it is no neighbour of itself."""
    model, _ = started(**NEIGHBOURS)
    local, pooled = features('labelled')
    expected = model.logits(local, pooled)
    neighbours, keys, values = model.neighbours, model.neighbours.keys, model.neighbours.values
    for row in range(len(pooled)):  # they are stored first
        neighbours.keys, neighbours.values = (torch.cat([part[:row], part[row + 1 :]]) for part in (keys, values))
        torch.testing.assert_close(model.logits(local[row : row + 1], pooled[row : row + 1])[0], expected[row])
    neighbours.keys, neighbours.values = keys, values
    # With its own reading among those of its neighbours a score would be another one.
    other = torch.cat([values[:1] + 5, values[1:]])
    neighbours.values = other
    torch.testing.assert_close(model.logits(local[:1], pooled[:1])[0], expected[0])


def test_the_labels_of_labelled_images_change_no_neighbour(started, tiny_config):
    """With the bias left at 0, nothing of the scores depends on labels."""
    plain = {'default_hooks.pseudo_labels.calibrate_bias': False, 'default_hooks.calibration.rule': 'none'}
    first, _ = started(**NEIGHBOURS, **plain)
    second, _ = started(**NEIGHBOURS, **plain, **{'train_dataloader.dataset.split': dict(proportion=0.2, seed=1)})
    order = [torch.argsort(model.neighbours.values[:, 0, 0].float()) for model in (first, second)]
    torch.testing.assert_close(first.neighbours.values[order[0]], second.neighbours.values[order[1]])
