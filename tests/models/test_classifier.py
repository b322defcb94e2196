import copy
import json

import pytest
import torch
from mmengine.runner import load_checkpoint
from mmpretrain.registry import DATASETS, MODELS

from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.models import classifier as classifier_module
from cssa_mm.models.class_names import resolve_class_names
from cssa_mm.semi.bank import PseudoLabelBank
from cssa_mm.semi.policies import PseudoLabels

C = 6
LABELLED = {'a': [1, 0, 0, 1, 0, -1], 'b': [0, 1, 0, 0, 0, 1]}
PSEUDO = {'u': [1, -1, 0, -1, 0, 0], 'v': [-1, -1, -1, -1, -1, -1], 'w': [0, 0, 1, -1, 1, -1]}
HIDDEN = [-1] * C
LOSS = dict(gamma_negative=2.0, gamma_positive=1.0, clip=0.05)


@pytest.fixture
def images():
    return torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def samples(make_sample):
    """Two labelled images and three unlabelled ones."""
    labelled = [make_sample(image_id, row) for image_id, row in LABELLED.items()]
    return labelled + [make_sample(image_id, HIDDEN, is_labelled=False) for image_id in PSEUDO]


def make_bank(weights=None, order=('w', 'x', 'u', 'v')):
    labels = PSEUDO | {'x': [1] * C}
    nothing = torch.zeros(C)
    rows = torch.tensor([labels[image_id] for image_id in order], dtype=torch.int8)
    if weights is not None:
        weights = torch.tensor([weights[image_id] for image_id in order])
    return PseudoLabelBank(list(order), PseudoLabels(rows, weights, nothing, nothing))


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


def cell_losses(logits, labels):
    """Asymmetric loss of every cell in float64; 0 where the label is unknown."""
    p = 1 / (1 + torch.exp(-logits.detach().double()))
    shifted = (p - LOSS['clip']).clamp(min=0)
    positive = -((1 - p) ** LOSS['gamma_positive']) * torch.log(p)
    negative = -(shifted ** LOSS['gamma_negative']) * torch.log(1 - shifted)
    labels = torch.as_tensor(labels)
    return torch.where(labels == 1, positive, torch.where(labels == 0, negative, 0.0))


def manual(reduction, cells, labels):
    labels = torch.as_tensor(labels)
    divisor = {'sum': 1, 'mean': max(int((labels >= 0).sum()), 1), 'batch_mean': len(labels)}[reduction]
    return float(cells.sum() / divisor)


# -- loss ------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_without_a_bank_only_labelled_images_count_and_with_one_all_do(make_model, images, samples):
    model = make_model()
    assert set(model.loss(images, samples)) == {'loss_labelled', 'loss_context_labelled'}
    model.bank = make_bank()
    assert set(model.loss(images, samples)) == {
        'loss_labelled',
        'loss_unlabelled',
        'loss_context_labelled',
        'loss_context_unlabelled',
    }
    plain = make_model(context_head=None)
    assert set(plain.loss(images, samples)) == {'loss_labelled'}


@pytest.mark.parametrize('reduction', ['sum', 'mean', 'batch_mean'])
def test_losses_equal_those_computed_by_hand_from_labels_and_bank(make_model, images, samples, reduction):
    model = make_model(loss=LOSS | dict(reduction=reduction), unlabelled_weight=0.7, context_weight=0.3)
    model.bank = make_bank()
    losses = model.loss(images, samples)
    alignment = model.align(images)
    labels, pseudo = list(LABELLED.values()), list(PSEUDO.values())
    by_hand = {
        'loss_labelled': manual(reduction, cell_losses(alignment.logits[:2], labels), labels),
        'loss_unlabelled': 0.7 * manual(reduction, cell_losses(alignment.logits[2:], pseudo), pseudo),
    }
    context_logits = model.context_head(alignment)
    for name, rows, known in (('labelled', slice(2), labels), ('unlabelled', slice(2, 5), pseudo)):
        targets = []
        for row in known:  # context k holds the classes k, k + 2, k + 4
            groups = [row[k::2] for k in range(2)]
            targets.append([1 if 1 in group else 0 if set(group) == {0} else -1 for group in groups])
        cells = cell_losses(context_logits[rows], targets)
        by_hand[f'loss_context_{name}'] = 0.3 * manual(reduction, cells, targets)
    assert {name: float(value) for name, value in losses.items()} == pytest.approx(by_hand, rel=1e-5)
    assert min(by_hand.values()) > 0


def test_weights_of_the_bank_scale_each_cell(make_model, images, samples):
    model = make_model(loss=LOSS, context_head=None)
    generator = torch.Generator().manual_seed(0)
    weights = {image_id: torch.rand(C, generator=generator).tolist() for image_id in 'uvwx'}
    model.bank = make_bank(weights)
    cells = cell_losses(model.align(images).logits[2:], list(PSEUDO.values()))
    expected = (cells * torch.tensor([weights[image_id] for image_id in 'uvw'])).sum()
    losses = model.loss(images, samples)
    assert float(losses['loss_unlabelled']) == pytest.approx(float(expected), rel=1e-5)
    labelled = cell_losses(model.align(images).logits[:2], list(LABELLED.values())).sum()
    assert float(losses['loss_labelled']) == pytest.approx(float(labelled), rel=1e-5)


def test_pseudo_labels_are_found_by_id_whatever_the_order(make_model, images, samples):
    model = make_model()
    results = []
    for order in (('w', 'x', 'u', 'v'), ('u', 'v', 'w', 'x')):
        model.bank = make_bank(order=order)
        results.append(float(model.loss(images, samples)['loss_unlabelled']))
    assert results[0] == results[1]
    swapped = [*samples[:2], samples[4], samples[3], samples[2]]
    assert float(model.loss(images, swapped)['loss_unlabelled']) != results[0]


def test_masked_cells_and_images_move_nothing(make_model, images, samples):
    model = make_model(loss=dict(gamma_negative=0.0, clip=0.0))
    model.bank = make_bank()
    logits = model.align(images).logits.detach().requires_grad_()
    labels, weights, is_labelled = model.targets(samples)
    model._loss(logits, labels, weights, ~is_labelled).backward()
    known = torch.tensor(list(PSEUDO.values())) >= 0
    assert torch.equal(logits.grad[2:] != 0, known)
    assert (logits.grad[:2] == 0).all()


def test_the_labels_of_unlabelled_images_are_never_used(make_model, make_sample, images, samples):
    model = make_model()
    leaked = samples[:2] + [make_sample(image_id, [1] * C, is_labelled=False) for image_id in PSEUDO]
    for bank in (None, make_bank()):
        model.bank = bank
        clean, dirty = model.loss(images, samples), model.loss(images, leaked)
        assert {k: float(v) for k, v in clean.items()} == {k: float(v) for k, v in dirty.items()}


def test_a_batch_without_labelled_images_still_gives_a_loss_that_hangs_on_the_graph(make_model, images, samples):
    for reduction in ('sum', 'mean', 'batch_mean'):
        model = make_model(loss=dict(reduction=reduction))
        loss = model.loss(images[2:], samples[2:])['loss_labelled']
        assert float(loss) == 0
        loss.backward()
        assert (model.head.class_prompts.context.grad == 0).all()


@pytest.mark.parametrize('reduction', ['sum', 'mean', 'batch_mean'])
def test_the_average_over_two_ranks_is_the_loss_of_the_global_batch(
    make_model, images, samples, reduction, monkeypatch
):
    model = make_model(loss=LOSS | dict(reduction=reduction))
    model.bank = make_bank()
    whole = model.loss(images, samples)

    counts = []  # in the order of the losses: what both ranks count together

    def share(rows, reduce):
        monkeypatch.setattr(classifier_module, 'get_world_size', lambda: 2)
        monkeypatch.setattr(classifier_module, 'all_reduce', reduce)
        return model.loss(images[rows], samples[rows])

    ranks = (slice(0, 3), slice(3, 5))  # the second has no labelled image
    for rows in ranks:
        found = []
        share(rows, lambda count, found=found: found.append(count.clone()))
        counts.append(found)
    totals = [sum(pair) for pair in zip(*counts, strict=True)]
    losses = []
    for rows in ranks:
        left = iter(totals)
        losses.append(share(rows, lambda count, left=left: count.copy_(next(left))))
    for name, expected in whole.items():
        assert float(losses[0][name] + losses[1][name]) / 2 == pytest.approx(float(expected), rel=1e-6)


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
    torch.testing.assert_close(after_student, torch.sigmoid(model.align(images).logits.detach()))


def test_the_teacher_s_score_is_that_of_a_student_with_the_averages(make_model, images, samples):
    model = train(make_model(), images, samples)
    ema, _ = scores_of(model, images)
    twin = copy.deepcopy(model)
    averages = dict(model.teacher.named_buffers())
    with torch.no_grad():
        for name, parameter in twin.head.named_parameters():
            parameter.copy_(averages[name.replace('.', '__')])
        expected = torch.sigmoid(twin.align(images).logits)
    torch.testing.assert_close(ema, expected)


def test_predictions_are_written_into_the_samples_that_are_given(make_model, images, samples):
    model = make_model().eval()
    predicted = model(images, samples, mode='predict')
    assert predicted[0] is samples[0]
    assert predicted[0].pred_score.shape == (C,)
    assert torch.equal(model(images, mode='tensor'), model.align(images).logits)
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


# -- checkpoints -----------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(make_model, images, samples, tmp_path):
    model = train(make_model(), images, samples)
    model.head.bias_is_calibrated.fill_(True)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    return model, str(tmp_path / 'model.pth')


@pytest.mark.smoke
def test_a_checkpoint_of_plain_data_restores_the_model_bitwise(make_model, images, checkpoint):
    trained, path = checkpoint
    fresh = make_model(seed=5)
    assert not torch.equal(scores_of(fresh, images)[0], scores_of(trained, images)[0])
    fresh.load_state_dict(torch.load(path, weights_only=True)['state_dict'])
    for expected, found in zip(scores_of(trained, images), scores_of(fresh, images), strict=True):
        assert torch.equal(expected, found)
    assert bool(fresh.head.bias_is_calibrated)
    assert int(fresh.teacher.steps) == 3
    assert fresh.context_head.assignment.tolist() == [0, 1, 0, 1, 0, 1]
    assert (load_checkpoint(make_model(seed=5), path))['state_dict'].keys() == trained.state_dict().keys()


def test_a_checkpoint_holds_what_learns_and_nothing_of_the_towers(checkpoint):
    trained, path = checkpoint
    state = torch.load(path, weights_only=True)['state_dict']
    held = sum(value.numel() for value in state.values() if value.is_floating_point())
    assert held == sum(p.numel() for p in [*trained.parameters(), *trained.head.parameters()])  # student and teacher
    assert json.loads(bytes(state['_extra_state'].tolist())) == dict(
        tower=dict(model_name='tiny-rn', weights_hash=trained.backbone.clip.weights_hash),
        class_names=trained.class_names,
    )


def load_with_torch(model, path):
    model.load_state_dict(torch.load(path, weights_only=True)['state_dict'])


@pytest.mark.parametrize('load', [load_with_torch, load_checkpoint])
@pytest.mark.parametrize('what', ['tower', 'weights', 'names', 'fewer names'])
def test_a_checkpoint_of_another_tower_or_other_classes_is_refused(
    make_model, backbone_config, clip_dir, tmp_path, checkpoint, what, load
):
    trained, path = checkpoint
    changed = torch.load(clip_dir / 'tiny-rn.pt', weights_only=True)
    changed['logit_scale'] += 1
    torch.save(changed, tmp_path / 'changed.pt')
    names = trained.class_names
    options = {
        'tower': dict(backbone=backbone_config('tiny-vit')),
        'weights': dict(backbone=backbone_config(pretrained=str(tmp_path / 'changed.pt'))),
        'names': dict(class_names=[*names[:4], 'chair', 'window frame']),
        'fewer names': dict(class_names=names[:4]),
    }[what]
    model = make_model(**options, context_head=None)
    with pytest.raises(CheckpointError) as error:
        load(model, path)
    message = str(error.value)
    assert '\n' not in message
    key = 'class_names' if 'names' in what else 'tower'
    assert message.startswith(f'checkpoint: found one that was trained with {key} ')


@pytest.mark.parametrize('strict', [True, False])
def test_a_checkpoint_that_is_not_of_this_project_is_refused(make_model, tmp_path, strict):
    torch.save(dict(state_dict=torch.nn.Linear(2, 2).state_dict()), tmp_path / 'foreign.pth')
    with pytest.raises(CheckpointError, match='not of a CSSAClassifier'):
        load_checkpoint(make_model(), str(tmp_path / 'foreign.pth'), strict=strict)


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
    assert MODELS.get('CSSAClassifier') is classifier_module.CSSAClassifier


def test_a_class_that_is_not_taught_gets_no_gradient_from_labels_pseudo_labels_or_contexts(make_model, images, samples):
    for context_head in (None, dict(num_contexts=2), dict(num_contexts=2, input='logits')):
        check_the_gradient(make_model(context_head=context_head), images, samples)


def check_the_gradient(model, images, samples):
    for is_taught in (True, False):
        model.bank = make_bank()
        model.is_taught[2] = is_taught
        model.zero_grad()
        sum(model.loss(images, samples).values()).backward()
        for prompts in (model.head.class_prompts, model.head.semantic_prompts):
            assert bool((prompts.context.grad[2] != 0).any()) is is_taught
            assert bool((prompts.context.grad[1] != 0).any())
        assert bool(model.head.bias.grad[2] != 0) is is_taught


def test_a_class_that_is_not_taught_does_not_mask_the_contexts_of_unlabelled_images(make_model, images, samples):
    found = {}
    for is_taught in (True, False):
        for unknown in (-1, 0):
            model = make_model()
            model.bank = make_bank()
            model.bank.pseudo_labels.labels[:] = 0
            model.bank.pseudo_labels.labels[:, 2] = unknown
            model.is_taught[2] = is_taught
            losses = model.loss(images, samples)
            found[is_taught, unknown] = float(losses['loss_context_unlabelled'].detach())
    assert found[True, -1] < found[True, 0]  # its context is masked
    assert found[False, -1] == found[False, 0]
