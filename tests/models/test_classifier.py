import copy

import pytest
import torch
from mmpretrain.registry import DATASETS, MODELS

from cssa_mm.errors import ConfigError
from cssa_mm.models import CSSAClassifier
from cssa_mm.models.class_names import resolve_class_names
from cssa_mm.models.objective import Targets

C = 6
LABELLED = {'a': [1, 0, 0, 1, 0, -1], 'b': [0, 1, 0, 0, 0, 1]}
PSEUDO = {'u': [1, -1, 0, -1, 0, 0], 'v': [-1, -1, -1, -1, -1, -1], 'w': [0, 0, 1, -1, 1, -1]}
HIDDEN = [-1] * C


@pytest.fixture
def images():
    return torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def samples(make_sample):
    """Two labelled images and three unlabelled ones."""
    labelled = [make_sample(image_id, row) for image_id, row in LABELLED.items()]
    return labelled + [make_sample(image_id, HIDDEN, is_labelled=False) for image_id in PSEUDO]


def semi_targets(pseudo=None):
    """Annotations of the labelled images and pseudo-labels of the others."""
    labels = torch.tensor([*LABELLED.values(), *(pseudo or PSEUDO).values()], dtype=torch.float32)
    return Targets(labels, torch.ones(5, C), torch.arange(5) < 2, torch.ones(5, dtype=torch.bool), True)


def aligned(model, images):
    return model.align(*model.backbone(images))


def train(model, images, samples, steps=3):
    model.train()
    optimiser = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.05)
    for _ in range(steps):
        losses = model.loss(images, samples)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        model.teacher.update(model.head)
    return model


# -- loss ------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_by_default_the_annotations_alone_count_and_with_pseudo_labels_all_images_do(make_model, images, samples):
    model = make_model()
    assert set(model.loss(images, samples)) == {'loss_labelled', 'loss_context_labelled'}
    assert set(model.loss(images, samples, semi_targets())) == {
        'loss_labelled',
        'loss_unlabelled',
        'loss_context_labelled',
        'loss_context_unlabelled',
    }
    plain = make_model(context_head=None)
    assert set(plain.loss(images, samples)) == {'loss_labelled'}


def test_the_labels_of_unlabelled_images_are_never_used(make_model, make_sample, images, samples):
    model = make_model()
    leaked = samples[:2] + [make_sample(image_id, [1] * C, is_labelled=False) for image_id in PSEUDO]
    for targets in (None, semi_targets()):
        clean, dirty = model.loss(images, samples, targets), model.loss(images, leaked, targets)
        assert {k: v.item() for k, v in clean.items()} == {k: v.item() for k, v in dirty.items()}


def test_features_that_are_given_take_the_place_of_the_images(make_model, images, samples):
    model = make_model()
    expected = model.loss(images, samples, semi_targets())
    found = model.loss(torch.empty(0, 3, 1, 1), samples, semi_targets(), model.backbone(images))
    assert {k: v.item() for k, v in found.items()} == {k: v.item() for k, v in expected.items()}
    called = model(images, samples, mode='loss', targets=semi_targets(), features=model.backbone(images.flip(0)))
    assert float(called['loss_labelled']) != float(expected['loss_labelled'])


def test_a_batch_without_labelled_images_still_gives_a_loss_that_hangs_on_the_graph(make_model, images, samples):
    for reduction in ('sum', 'mean', 'batch_mean'):
        model = make_model(loss=dict(reduction=reduction))
        loss = model.loss(images[2:], samples[2:])['loss_labelled']
        assert float(loss) == 0
        loss.backward()
        assert (model.head.class_prompts.context.grad == 0).all()


# -- inference -------------------------------------------------------------------------------------------------


def scores_of(model, images):
    predicted = model.eval().predict(images)
    return (
        torch.stack([sample.pred_score for sample in predicted]),
        torch.stack([sample.student_score for sample in predicted]),
    )


def test_teacher_and_student_agree_at_the_start_and_part_in_training(make_model, images, samples):
    model = make_model()
    ema, student = scores_of(model, images)
    assert torch.equal(ema, student)
    assert ((ema > 0) & (ema < 1)).all()
    train(model, images, samples)
    after_ema, after_student = scores_of(model, images)
    assert (after_ema - after_student).abs().max() > 1e-4
    assert (after_student - student).abs().max() > 1e-4
    torch.testing.assert_close(after_student, torch.sigmoid(aligned(model, images).logits.detach()))


def test_the_teacher_s_score_is_that_of_a_student_with_the_averages(make_model, images, samples):
    model = train(make_model(), images, samples)
    ema, _ = scores_of(model, images)
    twin = copy.deepcopy(model)
    averages = dict(model.teacher.named_buffers())
    with torch.no_grad():
        for name, parameter in twin.head.named_parameters():
            parameter.copy_(averages[name.replace('.', '__')])
        expected = torch.sigmoid(aligned(twin, images).logits)
    torch.testing.assert_close(ema, expected)


def test_predictions_are_written_into_the_samples_that_are_given(make_model, images, samples):
    model = make_model().eval()
    predicted = model(images, samples, mode='predict')
    assert predicted[0] is samples[0]
    assert predicted[0].pred_score.shape == (C,)
    assert torch.equal(model(images, mode='tensor'), aligned(model, images).logits)
    with pytest.raises(ConfigError, match="forward mode: found 'train'"):
        model(images, mode='train')


def test_folded_text_features_are_forgotten_when_the_mode_changes_or_a_checkpoint_is_loaded(
    make_model, images, samples
):
    model = make_model()
    other = train(make_model(seed=1), images, samples).state_dict()
    before, _ = scores_of(model, images)
    assert set(model._folded) == {'ema', 'student'}
    train(model, images, samples)
    assert not model._folded
    trained, _ = scores_of(model, images)
    assert not torch.equal(trained, before)
    model.load_state_dict(other)
    assert not model._folded
    loaded = torch.stack([sample.pred_score for sample in model.predict(images)])
    assert not torch.equal(loaded, trained)


def test_folded_text_features_do_not_stay_behind_when_the_model_moves(make_model, images):
    model = make_model().eval()
    with torch.no_grad():
        model.predict(images)
    assert model._folded
    model.to(torch.float64)  # as to another device
    assert not model._folded


def test_text_features_are_folded_once_an_evaluation(make_model, images, monkeypatch):
    model = make_model().eval()
    calls = []
    original = model.head.text_features
    monkeypatch.setattr(model.head, 'text_features', lambda encoder: calls.append(1) or original(encoder))
    model.predict(images)
    model.predict(images)
    assert len(calls) == 2  # teacher and student


def test_pixels_are_normalised_with_the_tower_s_statistics_unless_the_config_says_otherwise(make_model):
    model = make_model()
    expected = torch.tensor([0.48145466, 0.4578275, 0.40821073]) * 255
    torch.testing.assert_close(model.data_preprocessor.mean.flatten(), expected)
    other = make_model(data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0]))
    assert other.data_preprocessor.mean.flatten().tolist() == [1.0, 2.0, 3.0]


# -- class names -----------------------------------------------------------------------------------------------


def test_class_names_come_from_a_list_a_file_or_a_data_set(tmp_path):
    assert resolve_class_names(('dog', 'cat')) == ['dog', 'cat']
    (tmp_path / 'names.txt').write_text('dog\n\n traffic light \n')
    assert resolve_class_names(str(tmp_path / 'names.txt')) == ['dog', 'traffic light']
    assert resolve_class_names('VOCMultiLabelDataset') == list(DATASETS.get('VOCMultiLabelDataset').METAINFO['classes'])


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        (['dog', 'cat', 'dog'], "found 'dog' twice"),
        ([], 'found no name'),
        ('VOCMultilabelDataset', r"Did you mean 'VOCMultiLabelDataset'\?"),
        ('nowhere/names.txt', "found 'nowhere/names.txt', expected a list of names, a text file"),
        ('CustomDataset', "found 'CustomDataset', a data set type without classes of its own"),
    ],
)
def test_wrong_class_names_are_refused(source, message):
    with pytest.raises(ConfigError, match=message):
        resolve_class_names(source)


def test_the_classifier_is_registered():
    assert MODELS.get('CSSAClassifier') is CSSAClassifier


def test_a_class_that_is_not_taught_gets_no_gradient_from_labels_pseudo_labels_or_contexts(make_model, images, samples):
    for context_head in (None, dict(num_contexts=2), dict(num_contexts=2, input='logits')):
        check_the_gradient(make_model(context_head=context_head), images, samples)


def check_the_gradient(model, images, samples):
    for is_taught in (True, False):
        model.is_taught[2] = is_taught
        model.zero_grad()
        sum(model.loss(images, samples, semi_targets()).values()).backward()
        for prompts in (model.head.class_prompts, model.head.semantic_prompts):
            assert bool((prompts.context.grad[2] != 0).any()) is is_taught
            assert bool((prompts.context.grad[1] != 0).any())
        assert bool(model.head.bias.grad[2] != 0) is is_taught


def test_a_class_that_is_not_taught_does_not_mask_the_contexts_of_unlabelled_images(make_model, images, samples):
    found = {}
    for is_taught in (True, False):
        for unknown in (-1, 0):
            model = make_model()
            pseudo = dict.fromkeys(PSEUDO, [0, 0, unknown, 0, 0, 0])
            model.is_taught[2] = is_taught
            losses = model.loss(images, samples, semi_targets(pseudo))
            found[is_taught, unknown] = float(losses['loss_context_unlabelled'].detach())
    assert found[True, -1] < found[True, 0]  # its context is masked
    assert found[False, -1] == found[False, 0]
