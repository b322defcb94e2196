"""The model as one function: the scores of `Predictor`, whatever the model is made of."""

import numpy as np
import pytest
import torch
from timm.layers import Conv2dSame

from cssa_mm.apis.exporting.module import ExportModule
from cssa_mm.apis.predictor import Predictor
from cssa_mm.apis.scorer import TorchScorer
from cssa_mm.errors import ConfigError
from cssa_mm.models.score_calibration import ScoreCalibration

PROMPTS = dict(num_context=2, initial_words='a')
EVIDENCE = dict(type='DiscriminantEvidence')
NEIGHBOURS = dict(type='Neighbours', k=4)
CENTRING = dict(weight=0.7, vocabulary=['tree', 'river', 'cup'])
KINDS = {
    'the paper': {},
    'contexts feed back': dict(context_head=dict(num_contexts=2, feedback=True)),
    'contexts of logits feed back': dict(context_head=dict(num_contexts=2, feedback=True, input='logits')),
    'no contexts': dict(context_head=None),
    'dual prompts': dict(head=dict(prompts=PROMPTS, score='dual')),
    'a negative embedding': dict(head=dict(prompts=PROMPTS, score='negative_embedding')),
    'the global feature': dict(head=dict(prompts=PROMPTS, label_specific=False)),
    'shared prompts': dict(head=dict(prompts=PROMPTS, shared_prompts=True)),
    'evidence-guided pooling': dict(head=dict(prompts=PROMPTS, renormalise=False)),
    'evidence': dict(evidence=EVIDENCE, context_head=None),
    'centring': dict(head=dict(prompts=PROMPTS, centring=CENTRING)),
    'centring of the global feature': dict(head=dict(prompts=PROMPTS, label_specific=False, centring=CENTRING)),
    'centring, evidence': dict(head=dict(prompts=PROMPTS, centring=CENTRING), evidence=EVIDENCE, context_head=None),
    'evidence of dual prompts, contexts feed back': dict(
        evidence=EVIDENCE, head=dict(prompts=PROMPTS, score='dual'), context_head=dict(num_contexts=2, feedback=True)
    ),
    'neighbours': dict(neighbours=NEIGHBOURS),
    'neighbours, contexts feed back': dict(neighbours=NEIGHBOURS, context_head=dict(num_contexts=2, feedback=True)),
    'evidence and neighbours': dict(evidence=EVIDENCE, neighbours=NEIGHBOURS, context_head=None),
    'several wordings': dict(
        class_names={'dog': ['dog', 'puppy'], 'cat': 'cat', 'lamp': 'red lamp', 'car': 'car', 'bus': 'bus', 'tv': 'tv'}
    ),
    'one context for all classes': dict(head=dict(prompts=PROMPTS | dict(class_specific=False))),
    'attention of each position': dict(backbone=dict(dense='attention')),
    'no global token': dict(backbone=dict(global_token=False)),
    'blue first': dict(data_preprocessor=dict(to_rgb=True)),
    'pixels as they are': dict(data_preprocessor=dict(mean=None, std=None)),
    'a ViT': dict(tower='tiny-vit'),
    'a tower of timm': dict(tower='tiny-timm'),
    'a text tower of its own': dict(tower='tiny-custom'),
}


def photos(count: int = 4, height: int = 64, width: int = 64) -> np.ndarray:
    """Coloured surfaces with noise, uint8 (count, H, W, 3)."""
    rng = np.random.default_rng(0)
    surface = rng.integers(0, 256, (count, 1, 1, 3)) + rng.normal(0, 40, (count, height, width, 3))
    return surface.clip(0, 255).astype(np.uint8)


def tensor_of(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def scores_of(module, images):
    with torch.no_grad():
        return tuple(part.numpy() for part in module(images))


@pytest.mark.parametrize('kind', KINDS)
def test_the_scores_are_those_of_a_predictor(trained, kind):
    model = trained(**KINDS[kind])
    model.backbone.channels_last = False  # exports have open_clip's layout; the other one rounds otherwise
    images = photos()
    expected = list(Predictor(model).predict(list(images)))
    calibrated, raw = scores_of(ExportModule(model), tensor_of(images))
    assert calibrated.dtype == raw.dtype == np.float32
    assert np.abs(raw - np.stack([one.raw_scores for one in expected])).max() < 1e-6
    difference = np.abs(calibrated - np.stack([one.scores for one in expected]))
    assert difference[raw < 0.999].max() < 1e-6
    assert difference.max() < 1e-5  # the Predictor's calibration reads float32 scores, which are coarse near 1
    # Scores that could hide a difference: equal ones, or those of 0 and 1.
    assert np.abs(calibrated - raw).max() > 0.05
    assert ((raw > 0.001) & (raw < 0.999)).mean() > 0.5
    assert raw.std(0).max() > 1e-4


@pytest.mark.parametrize('evidence', [None, EVIDENCE], ids=['alone', 'with evidence'])
def test_neighbours_count_and_an_image_has_the_same_scores_alone_and_in_a_batch(trained, evidence):
    model = trained(evidence=evidence, neighbours=NEIGHBOURS, context_head=None)
    images = tensor_of(photos(7))
    for scorer in (TorchScorer(model), ExportModule(model)):
        with torch.no_grad():
            together = [torch.as_tensor(part) for part in scorer(images)]
            alone = [torch.cat([torch.as_tensor(scorer(image[None])[part]) for image in images]) for part in (0, 1)]
        for ours, theirs in zip(together, alone, strict=True):
            assert (ours - theirs).abs().max() < 5e-6  # the tower itself rounds otherwise in a batch
    model.neighbours.weight = 0.0
    assert np.abs(TorchScorer(model)(images).raw - together[1].numpy()).max() > 0.01


def test_neighbours_that_were_never_fitted_say_nothing(trained):
    model = trained(neighbours=NEIGHBOURS)
    model.neighbours.make_room(0)
    module, images = ExportModule(model), tensor_of(photos())
    assert module.neighbours is None
    model.neighbours = None
    np.testing.assert_array_equal(scores_of(module, images)[1], scores_of(ExportModule(model), images)[1])


def test_float_pixels_of_0_to_255_give_the_same_scores(trained):
    module, images = ExportModule(trained()), tensor_of(photos())
    for ours, theirs in zip(scores_of(module, images), scores_of(module, images.float()), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_holds_no_text_tower_and_leaves_the_model_as_it_was(trained):
    model = trained(evidence=EVIDENCE, context_head=None)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learns = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    module = ExportModule(model)
    size = sum(p.numel() for p in model.backbone.clip.visual.parameters())
    assert sum(p.numel() for p in module.parameters()) < size + 100
    assert not any('prompts' in name for name, _ in module.named_modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == learns
    assert model.head.class_prompts is not None


def test_a_later_training_does_not_change_it(trained):
    model = trained()
    module, images = ExportModule(model), tensor_of(photos())
    before = scores_of(module, images)
    with torch.no_grad():
        model.head.bias.add_(1)
        model.teacher.reset(model.scorer())
    np.testing.assert_array_equal(before[0], scores_of(module, images)[0])


def test_scores_near_0_and_1_keep_their_order_and_are_finite(trained):
    """Oracle: the formula in float64, from logits as far as float32 scores reach."""
    model = trained(context_head=None)
    model.calibration = ScoreCalibration((0.5,) * 6, (-1.0,) * 6, 'platt')
    module = ExportModule(model)
    logits = torch.tensor([[-200.0, -90, -20, 0, 14, 60]])
    module.logits = lambda image: logits
    calibrated, raw = module(tensor_of(photos(1)))
    expected = 1 / (1 + np.exp(-(0.5 * logits.double().numpy().clip(-103.28, 17.33) - 1)))
    np.testing.assert_allclose(calibrated.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(model.calibration(raw).numpy(), expected, atol=1e-3)  # float32 scores near 1 are coarse
    assert (calibrated.diff() > 0).all()


def test_a_model_that_is_too_sure_has_the_same_calibrated_scores_everywhere(trained):
    """Its raw scores round to 1, in float32; calibration brings them down to where labels are decided."""
    model = trained(context_head=None)
    with torch.no_grad():
        model.head.bias.add_(12.0)
    model.teacher.reset(model.scorer())
    model.evidence = None
    model.calibration = ScoreCalibration((1.0,) * 6, (-12.0,) * 6, 'platt')
    images = tensor_of(photos())
    calibrated, raw = scores_of(ExportModule(model), images)
    assert raw.max() > 0.9999
    np.testing.assert_allclose(TorchScorer(model)(images).calibrated, calibrated, atol=1e-6)
    samples = model.predict(model.data_preprocessor(dict(inputs=list(images)))['inputs'])
    np.testing.assert_allclose(np.stack([sample.pred_score for sample in samples]), calibrated, atol=1e-6)


def test_without_calibration_both_scores_are_the_raw_ones(trained):
    model = trained()
    model.calibration = ScoreCalibration.none(6)
    calibrated, raw = scores_of(ExportModule(model), tensor_of(photos()))
    np.testing.assert_array_equal(calibrated, raw)


@pytest.mark.parametrize(
    ('view', 'expected'), [(64, (64, 64)), ([96, 64], (96, 64)), (None, (64, 64))], ids=['square', 'wide', 'kept']
)
def test_the_trained_size_is_the_view_s_or_the_tower_s(trained, view, expected):
    module = ExportModule(trained(view=dict(type='View', size=view)))
    assert module.size == expected
    assert module.takes_any_size
    assert set(module.dynamic_shapes()['image']) == {0, 2, 3}
    assert module.trial_images(2).shape == (2, 3, *expected)
    assert module.trial_images(3, other=True).shape == (3, 3, expected[0] + 64, expected[1] + 128)


def test_a_tower_of_one_size_frees_the_batch_alone(trained, monkeypatch):
    model = trained('tiny-timm')
    function = ExportModule.logits

    def of_one_size(self, image):
        if image.shape[-2:] != (64, 64):
            raise AssertionError('Input height (128) does not match model (64).')
        return function(self, image)

    monkeypatch.setattr(ExportModule, 'logits', of_one_size)
    module = ExportModule(model)
    assert not module.takes_any_size
    assert set(module.dynamic_shapes()['image']) == {0}


def test_a_tower_that_pads_by_size_frees_the_batch_alone(trained):
    """As EfficientNet's tf_ trunks do, on whose symbolic sizes an export takes many minutes."""
    model = trained('tiny-timm')
    model.backbone.clip.visual.trunk.later = torch.nn.Sequential(Conv2dSame(3, 3, 3, stride=2))
    module = ExportModule(model)
    assert not module.takes_any_size
    assert set(module.dynamic_shapes()['image']) == {0}


def test_more_stored_images_than_are_searched_exactly_are_refused(trained, monkeypatch):
    model = trained(neighbours=NEIGHBOURS)
    monkeypatch.setattr('cssa_mm.models.search.LARGEST', 39)
    with pytest.raises(ConfigError, match='export: found 40 stored images, which faiss looks up, expected at most 39;'):
        ExportModule(model)


def test_padding_is_refused(trained):
    model = trained(data_preprocessor=dict(pad_size_divisor=32))
    with pytest.raises(ConfigError, match='pad_size_divisor: found 32, expected 1 for an export'):
        ExportModule(model)
