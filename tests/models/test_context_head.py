import math

import pytest
import torch

from cssa_mm.errors import ConfigError
from cssa_mm.models.alignment_head import Alignment
from cssa_mm.models.context_head import ContextHead
from tests.models.conftest import given_features

LABELS = torch.tensor([[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, -1, 0], [0, 0, 0, 0, 1, 1]])


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def alignment():
    generator = torch.Generator().manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(4, 6, 16, generator=generator), dim=-1)
    return Alignment(3 * torch.randn(4, 6, generator=generator), given_features(features), None)


@pytest.mark.smoke
@pytest.mark.parametrize('kind', ['features', 'logits'])
def test_the_gradient_of_the_context_loss_reaches_both_prompts_of_every_class(make_model, make_sample, images, kind):
    model = make_model(context_head=dict(num_contexts=2, input=kind)).train()
    samples = [make_sample(str(i), row) for i, row in enumerate(LABELS)]
    # A fresh classifier is nearly zero, as is what flows back through it: that is no proof of a path.
    torch.nn.init.normal_(model.context_head.classifier.weight)
    losses = model.loss(images, samples)
    model.zero_grad()
    losses['loss_context_labelled'].backward()
    for prompts in (model.head.class_prompts, model.head.semantic_prompts):
        assert (prompts.context.grad.abs().amax((1, 2)) > 1e-6).all()
    assert model.context_head.classifier.weight.grad.abs().max() > 0


@pytest.mark.parametrize('kind', ['features', 'logits'])
def test_even_a_fresh_context_head_sends_gradient_to_the_prompts(make_model, make_sample, images, kind):
    model = make_model(context_head=dict(num_contexts=2, input=kind)).train()
    losses = model.loss(images, [make_sample(str(i), row) for i, row in enumerate(LABELS)])
    losses['loss_context_labelled'].backward()
    assert model.head.semantic_prompts.context.grad.abs().max() > 0
    assert model.head.class_prompts.context.grad.abs().max() > 0


def test_gradient_flows_through_the_features_and_through_their_weights(alignment):
    head = ContextHead(6, 16, num_contexts=3)
    features = alignment.features.whole().requires_grad_()
    inputs = Alignment(alignment.logits.requires_grad_(), given_features(features), None)
    head(inputs).square().sum().backward()
    assert (features.grad.abs().amax(-1) > 0).all()
    assert (inputs.logits.grad.abs() > 0).all()


def test_features_are_averaged_with_the_scores_as_weights(alignment):
    torch.manual_seed(0)
    head = ContextHead(6, 16, num_contexts=3)
    found = head(alignment)
    weight, bias = head.classifier.weight.detach().double(), head.classifier.bias.detach().double()
    features = alignment.features.whole()
    for b in range(4):
        scores = [1 / (1 + float(torch.exp(-logit))) for logit in alignment.logits[b].double()]
        mean = sum(s / sum(scores) * features[b, c].double() for c, s in enumerate(scores))
        torch.testing.assert_close(found[b].double(), weight @ mean + bias, rtol=1e-4, atol=1e-6)
    assert found.shape == (4, 3)


def test_logits_can_be_read_instead(alignment):
    head = ContextHead(6, 16, num_contexts=3, input='logits')
    weight = head.classifier.weight.detach().double()
    assert weight.shape == (3, 6)
    expected = alignment.logits.double() @ weight.T + head.classifier.bias.detach().double()
    torch.testing.assert_close(head(alignment).double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('num_contexts', [-1, 0, 1, 7])
def test_a_number_of_contexts_out_of_range_is_refused(num_contexts):
    with pytest.raises(ConfigError) as error:
        ContextHead(6, 16, num_contexts=num_contexts)
    assert str(error.value) == (
        f'context_head.num_contexts: found {num_contexts}, expected 2 to 6, the number of classes'
    )


@pytest.mark.parametrize(('key', 'value'), [('input', 'images'), ('target', 'both')])
def test_unknown_options_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"context_head.{key}: found '{value}', expected '?"):
        ContextHead(6, 16, **{key: value})


def test_the_contexts_of_the_labels_are_in_the_checkpoint(make_model):
    model = make_model()
    assert model.state_dict()['context_head.assignment'].tolist() == [0, 1, 0, 1, 0, 1]
    fresh = ContextHead(6, 16, num_contexts=2)
    assert fresh.assignment.tolist() == [-1] * 6
    assert fresh.state_dict()['assignment'].dtype == torch.int64


# -- contexts that speak for or against classes ------------------------------------------------------------------


def test_without_feedback_reading_adds_the_contexts_and_leaves_the_logits(alignment):
    head = ContextHead(6, 16, num_contexts=3)
    found = head.read(alignment)
    torch.testing.assert_close(found.contexts, head(alignment))
    assert found.logits is alignment.logits


def test_feedback_adds_to_each_class_what_every_context_says_of_it(alignment):
    torch.manual_seed(0)
    head = ContextHead(6, 16, num_contexts=3, feedback=True)
    torch.testing.assert_close(head.read(alignment).logits, alignment.logits)  # nothing, at the start
    torch.nn.init.normal_(head.classifier.weight)
    torch.nn.init.normal_(head.feedback)
    found, contexts = head.read(alignment).logits.detach(), head(alignment).tolist()
    feedback = head.feedback.detach()
    for b in range(4):
        for c in range(6):
            said = sum(float(feedback[k, c]) / (1 + math.exp(-contexts[b][k])) for k in range(3))
            assert float(found[b, c]) == pytest.approx(float(alignment.logits[b, c]) + said, abs=1e-4)


def test_feedback_is_learned_averaged_by_the_teacher_and_kept_at_inference(make_model, make_sample, images):
    model = make_model(context_head=dict(num_contexts=2, feedback=True)).train()
    samples = [make_sample(str(i), row) for i, row in enumerate(LABELS)]
    sum(model.loss(images, samples).values()).backward()
    assert (model.context_head.feedback.grad.abs() > 0).any(0).all()
    model.eval()
    features = model.backbone(images)
    before = {who: model.score(*features, who) for who in ('ema', 'student')}
    with torch.no_grad():
        model.context_head.feedback[:, 2] += 4.0
    model.unfold()
    assert (model.score(*features, 'student')[:, 2] > before['student'][:, 2] + 0.01).all()
    torch.testing.assert_close(model.score(*features, 'ema'), before['ema'])
    model.teacher.update(model.scorer())
    moved = model.score(*features, 'ema') - before['ema']
    assert (moved[:, 2] > 1e-3).all()
    torch.testing.assert_close(moved[:, :2], torch.zeros(3, 2))


def test_the_teacher_of_the_paper_s_head_averages_nothing_but_the_head(make_model):
    names = set(make_model().teacher.state_dict()) - {'steps'}
    assert names
    assert not any('context_head' in name for name in names)
    fed = set(make_model(context_head=dict(num_contexts=2, feedback=True)).teacher.state_dict())
    assert 'context_head__feedback' in fed
