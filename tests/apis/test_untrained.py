"""What images give to a model that nobody trained: neighbours, and the weight of centring."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS, HOOKS

import cssa_mm
from cssa_mm.apis import untrained
from cssa_mm.apis.loading import untrained_model
from cssa_mm.errors import DataError
from cssa_mm.models.clip_backbone import OpenCLIPBackbone
from cssa_mm.semi import centring as centring_module

NEIGHBOURS = {'model.neighbours': dict(type='Neighbours', k=5)}
EVIDENCE = {'model.evidence': dict(type='DiscriminantEvidence')}
CENTRED = {'model.head.centring': dict(weight='auto', vocabulary=['tree', 'river', 'cup'])}


@pytest.fixture
def said(monkeypatch):
    """The lines about centring that were logged."""
    lines = []
    for module in (untrained, centring_module):
        monkeypatch.setattr(module, 'print_log', lambda line, *details: lines.append(line))
    return lines


def test_a_test_of_the_untrained_model_fits_it_to_the_training_images(tiny_overrides, toy_data, tmp_path, said):
    overrides = tiny_overrides(**{'model.context_head.num_contexts': 2}, **CENTRED)
    common = dict(config='cssa_coco_p05', overrides=overrides, data_root=toy_data, work_dir=tmp_path, device='cpu')
    metrics = cssa_mm.test(**common)
    assert metrics['ema/mAP'] > 0
    (line,) = said
    assert line.startswith('Centring: weight 0.')
    assert line.endswith(', fitted to the training images')


def test_features_of_a_folder_are_found_by_the_next_run(tiny_overrides, toy_data, tmp_path, monkeypatch):
    counts, original = [], OpenCLIPBackbone.forward
    count = lambda self, images: counts.append(len(images)) or original(self, images)  # noqa: E731
    monkeypatch.setattr(OpenCLIPBackbone, 'forward', count)
    found = []
    for folder in (None, tmp_path / 'kept', tmp_path / 'kept'):
        counts.clear()
        overrides = tiny_overrides(**{'default_hooks.pseudo_labels.feature_cache.folder': folder and str(folder)})
        common = dict(config='cssa_coco_p05', overrides=overrides, data_root=toy_data, work_dir=tmp_path, device='cpu')
        found.append((cssa_mm.test(**common), sum(counts)))
    assert found[0][0] == found[1][0] == found[2][0]
    assert found[1][1] == 2 + 40 + 12  # one of each set for its size
    assert found[2][1] == 2


@pytest.mark.parametrize('missing', ['images', 'hook'])
def test_without_training_images_the_weight_is_told(tiny_config, said, missing):
    config = tiny_config(**CENTRED)
    if missing == 'hook':
        config.default_hooks.pseudo_labels = None
        model = untrained_model(config, device='cpu')
        untrained.start_untrained(model, config)
    else:
        config.train_dataloader.dataset.ann_file = 'missing.json'
        model = untrained_model(config, device='cpu')
        with pytest.raises(DataError):
            untrained.start_untrained(model, config)
    assert said == [
        "Centring: no training images have fitted weight='auto', which is 0.25 now; "
        'model.head.centring.weight=NUMBER sets it'
    ]
    assert float(model.head.centring.weight) == 0.25


def test_without_centring_nothing_is_told(tiny_config, said):
    config = tiny_config()
    untrained.start_untrained(untrained_model(config, device='cpu'), config)
    assert said == []


# -- neighbours ----------------------------------------------------------------------------------------------------


@pytest.fixture
def started(tiny_config):
    """started(**overrides) -> an untrained model with what its config's training images say, and the config."""

    def start(**overrides):
        config = cssa_mm.load_config(tiny_config(**overrides))
        model = untrained_model(config, device='cpu')
        untrained.start_untrained(model, config)
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
    expected = cssa_mm.models.Neighbours(16, 6, 1, k=5)
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
