"""Oracle: scores and maps of the images one by one, by the model's own parts."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS
from PIL import Image

from cssa_mm.apis.explaining import chosen_labels, explain
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.errors import CheckpointError, ConfigError, ImageError
from cssa_mm.features.explaining import LONGEST
from cssa_mm.features.label_maps import label_maps, label_text, rule_of
from cssa_mm.models.thresholds import ClassThresholds

VIEW = dict(type='View', size=None)


@pytest.fixture
def paths(tiny_config):
    return DATASETS.build(tiny_config().test_dataloader.dataset).img_paths


@pytest.fixture
def model(make_model):
    return make_model(view=VIEW).eval()


@pytest.mark.smoke
def test_the_best_labels_of_an_image_come_with_score_threshold_map_and_peak(model, paths):
    found = list(explain(model, [paths[4], paths[1]], top=2))
    assert [one.path for one in found] == [paths[4], paths[1]]
    for path, one in zip([paths[4], paths[1]], found, strict=True):
        image = np.asarray(Image.open(path).convert('RGB'))
        np.testing.assert_array_equal(one.image, image)
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
        mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
        with torch.no_grad():
            local, pooled = model.backbone((pixels - mean) / std)
            scores = model.alignment_of(local, pooled).logits[0].sigmoid()
        best = scores.argsort(descending=True)[:2].tolist()
        assert one.names == tuple(model.class_names[c] for c in best)
        np.testing.assert_allclose(one.scores, scores[best], rtol=1e-4)
        assert one.thresholds == (0.5, 0.5)
        assert one.rule == rule_of(model).text
        cells = label_maps(model, local, label_text(model), (64, 64)).values[0]
        for c, heat, peak in zip(best, one.maps, one.peaks, strict=True):
            assert (heat.shape, heat.min(), heat.max()) == (
                (64, 64),
                pytest.approx(0, abs=0.01),
                pytest.approx(1, 0.01),
            )
            row, column = np.unravel_index(cells[c].argmax(), (2, 2))
            assert peak.tolist() == [16 + 32 * column, 16 + 32 * row]


def test_the_best_labels_of_a_model_with_evidence_are_those_of_its_scores(make_model, paths):
    """Its prompts alone would choose others: here the evidence turns the order round."""
    model = make_model(view=VIEW, evidence=dict(), context_head=None).eval()
    (plain,) = explain(model, paths[4], top=6)
    with torch.no_grad():
        model.evidence.weights.copy_(torch.tensor([-0.5, -0.5, 0.0]))
    model.evidence.is_fitted.fill_(True)
    (turned,) = explain(model, paths[4], top=6)
    assert turned.names == plain.names[::-1]
    assert turned.scores == tuple(sorted(turned.scores, reverse=True))


def test_labels_that_reach_their_threshold_come_first_and_without_one_the_best_is_shown():
    scores = np.array([0.3, 0.9, 0.6, 0.5])
    reached = np.array([True, False, True, False])
    assert chosen_labels(scores, reached) == [2, 0]
    assert chosen_labels(scores, np.zeros(4, bool)) == [1]
    assert chosen_labels(scores, reached, top=3) == [1, 2, 3]
    assert chosen_labels(scores, reached, wanted=[1, 0, 3]) == [0, 1, 3]


def test_thresholds_decide_which_labels_are_shown(model, paths):
    (every,) = explain(model, paths[0], top=6)
    middle = (every.scores[2] + every.scores[3]) / 2
    model.thresholds = ClassThresholds((middle,) * 6, 'given')
    (found,) = explain(model, paths[0])
    assert found.names == every.names[:3]
    assert found.reached == (True,) * 3
    assert [name for (one,) in [explain(model, paths[0], max_labels=2)] for name in one.names] == [*every.names[:2]]
    model.thresholds = ClassThresholds((0.999,) * 6, 'given')
    (below,) = explain(model, paths[0])
    assert below.names == every.names[:1]
    assert below.verdict(0).endswith('below its threshold 1.00')
    model.thresholds = ClassThresholds.none(6)
    (untrained,) = explain(model, paths[0])
    assert untrained.names == every.names[:1]
    assert untrained.verdict(0).endswith('never trained')


def test_chosen_labels_are_shown_whatever_their_scores(model, paths):
    for labels in ('window frame, dog', ['dog', 'window frame']):
        (found,) = explain(model, paths[0], labels=labels)
        assert set(found.names) == {'dog', 'window frame'}


def test_a_large_photo_is_reduced_and_its_peaks_with_it(make_model):
    model = make_model(view=dict(type='View', size=64)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (900, 2 * LONGEST, 3), dtype=np.uint8)
    (found,) = explain(model, pixels, top=6)
    assert found.path is None
    assert found.image.shape == (450, LONGEST, 3)
    assert found.maps.shape == (6, 450, LONGEST)
    assert set(found.peaks[:, 0]) <= {LONGEST / 4, 3 * LONGEST / 4}
    assert set(found.peaks[:, 1]) <= {450 / 4, 3 * 450 / 4}


def test_a_model_in_training_stays_in_training_and_shows_its_present_prompts(model, paths):
    model.train()
    (before,) = explain(model, paths[0], top=6)  # folds the text, which must not outlive the next step
    for value in model.teacher.buffers():
        if value.is_floating_point():
            value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    (found,) = explain(model, paths[0], top=6)
    assert model.training
    assert found.scores != before.scores
    (expected,) = explain(model.eval(), paths[0], top=6)
    assert found.scores == expected.scores


def test_a_checkpoint_and_a_scorer_are_models_too(model, paths, save):
    (expected,) = explain(model, paths[0], top=1)
    for other in (save(model), TorchScorer(model)):
        (found,) = explain(other, paths[0], top=1)
        assert found.scores == pytest.approx(expected.scores)


def test_wrong_input_is_named(model, make_model, paths, tmp_path):
    for options, message in (
        (dict(labels='dgo, cat'), "^labels: found 'dgo', expected classes of the model. Did you mean 'dog'?"),
        (dict(labels=' , '), '^labels: found '),
        (dict(top=0), '^top: found 0, expected a whole number from 1'),
        (dict(top=2, labels='dog'), '^top: found it together with labels'),
        (dict(max_labels=0), '^max_labels: found 0'),
        (dict(top=13), '^top: found 13, expected at most 12'),
        (dict(labels=['dog', 'cat', 'table'], max_labels=2), '^labels: found 3, expected at most 2'),
    ):
        with pytest.raises(ConfigError, match=message):
            explain(model, paths[0], **options)  # before an image is asked for
    with pytest.raises(CheckpointError, match="^checkpoint: found the ONNX file 'm.onnx'"):
        explain('m.onnx', paths[0])
    with pytest.raises(CheckpointError, match="found no file 'nowhere.pth'"):
        explain('nowhere.pth', paths[0])
    whole = make_model(view=VIEW, head=dict(label_specific=False, prompts=dict(num_context=2)), context_head=None)
    with pytest.raises(ConfigError, match='^model.head.label_specific: found False, a model that sees the image as a'):
        explain(whole, paths[0])
    with pytest.raises(ConfigError, match='^model: found a object, which gives scores alone'):
        explain(object(), paths[0])
    with pytest.raises(ImageError, match='nowhere.jpg: cannot be read'):
        next(explain(model, 'nowhere.jpg'))
