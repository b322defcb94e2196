"""The weight of centring in a run. Oracle: numpy's straight line through the mean similarity of each training image."""

from pathlib import Path

import numpy as np
import pytest
import torch

import cssa_mm
from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.view import View
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.features.encode import encode
from cssa_mm.semi import centring as centring_module
from cssa_mm.semi import semi_supervision

WORDS = ['tree', 'river', 'old house', 'cup']
HEAD = dict(prompts=dict(num_context=2, initial_words='a'), shared_prompts=True)


@pytest.fixture
def model(make_model):
    """A model with a weight to be fitted; teacher and student differ."""
    model = make_model(context_head=None, head=HEAD | dict(centring=dict(vocabulary=WORDS))).train()
    with torch.no_grad():
        model.teacher.get_buffer('class_prompts__context').add_(0.3)
    return model


@torch.no_grad()
def half_slope(model, dataset, indices) -> float:
    batches = encode(model, dataset, indices, View(size=None), '')
    local, pooled = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    seen = model.head.look(local, pooled)
    similarity = model.head.cosines(seen, model.head.text_features(model.text_encoder))[0]
    offset = model.head.offset(seen, model.head.centring.text)
    return np.polyfit(offset.double().numpy(), similarity.double().mean(1).numpy(), 1)[0] / 2


@pytest.mark.parametrize('batch_size', [7, 64])
def test_auto_is_fitted_to_all_training_images_before_the_bias(algorithm, model, dataset, batch_size):
    expected = half_slope(model, dataset, np.arange(len(dataset)))
    assert 0.01 < expected < 0.99
    algorithm(batch_size=batch_size).prepare()
    centring = model.head.centring
    assert bool(centring.is_fitted)
    assert float(centring.weight) == pytest.approx(expected, rel=1e-3)
    labelled = dataset.labelled_indices
    batches = encode(model, dataset, labelled, View(size=None), '')
    scores = torch.cat([model.score(*batch, 'student') for batch in batches])
    rates = ((dataset.labels[labelled] == 1).sum(0) + 0.5) / (len(labelled) + 1)
    np.testing.assert_allclose(scores.mean(0).numpy(), rates, rtol=1e-3)  # only so if the bias came later


def test_it_reads_no_label(algorithm, model, dataset):
    algorithm(calibrate_bias=False).prepare()
    expected = model.head.centring.weight.clone()
    model.head.centring.is_fitted.fill_(False)
    labelled = dataset.labelled_indices
    dataset.labels[labelled] = dataset.labels[labelled][::-1].copy()
    algorithm(calibrate_bias=False).prepare()
    assert torch.equal(model.head.centring.weight, expected)


@pytest.mark.parametrize('weight', ['auto', 0.4])
def test_what_is_fitted_or_given_stays(algorithm, make_model, dataset, weight, monkeypatch):
    model = make_model(context_head=None, head=HEAD | dict(centring=dict(weight=weight, vocabulary=WORDS)))
    if weight == 'auto':
        model.head.centring.weight.fill_(0.4)
        model.head.centring.is_fitted.fill_(True)
    semi = algorithm()
    semi.model = semi.features.model = model
    monkeypatch.setattr(semi_supervision, 'EvidenceImages', lambda *given: pytest.fail('read images'))
    semi.prepare()
    assert float(model.head.centring.weight) == pytest.approx(0.4)


def test_as_many_images_as_the_evidence_reads(algorithm, model, monkeypatch):
    drawn = []
    original = semi_supervision.EvidenceImages

    def watched(features, dataset, most, seed):
        drawn.append((most, seed))
        return original(features, dataset, most, seed)

    monkeypatch.setattr(semi_supervision, 'EvidenceImages', watched)
    algorithm(evidence_images=5, evidence_seed=3).prepare()
    assert drawn == [(5, 3)]
    few = float(model.head.centring.weight)
    model.head.centring.is_fitted.fill_(False)
    algorithm().prepare()
    assert float(model.head.centring.weight) != few


def test_a_bad_image_is_left_out(algorithm, model, dataset):
    bad = [3, 20, 21]
    dataset.bad_images = BadImages(shape=(64, 64))
    dataset.bad_images.reasons |= {dataset.image_ids[index]: 'broken' for index in bad}
    rest = np.setdiff1d(np.arange(len(dataset)), bad)
    expected = half_slope(model, dataset, rest)
    algorithm().prepare()
    assert float(model.head.centring.weight) == pytest.approx(expected, rel=1e-3)


def test_a_run_fits_it_once_and_its_checkpoint_keeps_it(tiny_config, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(centring_module, 'print_log', lambda line, *details: said.append(line))
    options = {
        'model.head.centring': dict(weight='auto', vocabulary=WORDS),
        'default_hooks.checkpoint.max_keep_ckpts': -1,
    }
    runner = CSSARunner.from_cfg(tiny_config(**options))
    runner.train()
    weight = float(runner.model.head.centring.weight)
    assert said[0] == f'Centring: weight {weight:.3f}, fitted to the training images'
    assert len(said) == 3  # and in each fold, whose log is silent
    found = cssa_mm.load_model(tmp_path / 'run' / 'epoch_3.pth', device='cpu')
    assert float(found.head.centring.weight) == weight
    said.clear()
    first, again = tmp_path / 'run' / 'epoch_1.pth', tmp_path / 'again'
    resumed = CSSARunner.from_cfg(tiny_config(**options, load_from=str(first), resume=True, work_dir=str(again)))
    resumed.train()
    assert f'weight {weight:.3f}' not in ''.join(said[:-2])  # the folds alone fit again
    whole, parted = (torch.load(Path(place, 'epoch_3.pth'))['state_dict'] for place in (tmp_path / 'run', again))
    assert [name for name in whole if not torch.equal(whole[name], parted[name])] == []
