import math

import pytest
import torch
from torch.nn import functional as F

from cssa_mm.errors import ConfigError
from cssa_mm.models.alignment_head import LabelAlignmentHead, TextFeatures

NAMES = ['dog', 'traffic light', 'red bicycle', 'table']
B, N, C, D = 3, 5, 4, 16
SCORES = ['sigmoid', 'dual', 'negative_embedding']


def make_head(encoder, **options):
    torch.manual_seed(0)
    options.setdefault('prompts', dict(num_context=2))
    head = LabelAlignmentHead(encoder, NAMES, **options)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return head


@pytest.fixture
def seen():
    """Local features (B, N, D) and global ones (B, D), not normalised."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(B, N, D, generator=generator), torch.randn(B, D, generator=generator)


def unit(vector):
    return [value / math.sqrt(sum(v * v for v in vector)) for value in vector]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def reference(head, text, local, pooled, label_specific, renormalise, tau_s):
    """Attention, features and logits by loops over Python floats."""
    semantic, positive = text.semantic.tolist(), text.positive.tolist()
    negative = None if text.negative is None else text.negative.tolist()
    tau, bias = math.exp(float(head.log_temperature.detach())), head.bias.tolist()
    attention = [[[0.0] * N for _ in range(C)] for _ in range(B)]
    features = [[None] * C for _ in range(B)]
    logits = [[0.0] * C for _ in range(B)]
    for b in range(B):
        positions = [unit(row) for row in local[b].tolist()]
        for c in range(C):
            if label_specific:
                powers = [math.exp(tau_s * dot(unit(semantic[c]), position)) for position in positions]
                attention[b][c] = [power / sum(powers) for power in powers]
                feature = [dot(attention[b][c], [position[d] for position in positions]) for d in range(D)]
                feature = unit(feature) if renormalise else feature
            else:
                feature = unit(pooled[b].tolist())
            features[b][c] = feature
            logits[b][c] = tau * dot(feature, unit(positive[c])) + bias[c]
            if negative is not None:  # a two-way softmax of both similarities is the sigmoid of their difference
                logits[b][c] -= tau * dot(feature, unit(negative[c]))
    return attention, features, logits


@pytest.mark.smoke
@pytest.mark.parametrize('score', SCORES)
@pytest.mark.parametrize(('label_specific', 'renormalise'), [(True, True), (True, False), (False, True)])
def test_the_alignment_is_that_of_the_formula(encoder, seen, score, label_specific, renormalise):
    options = dict(score=score, label_specific=label_specific, renormalise=renormalise, attention_temperature=7.0)
    head = make_head(encoder, **options)
    text = head.text_features(encoder)
    found = head(*seen, text)
    attention, features, logits = reference(head, text, *seen, label_specific, renormalise, 7.0)
    torch.testing.assert_close(found.logits, torch.tensor(logits), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.features.whole(), torch.tensor(features), rtol=1e-4, atol=1e-5)
    if label_specific:
        torch.testing.assert_close(found.attention, torch.tensor(attention), rtol=1e-4, atol=1e-5)
    else:
        assert found.attention is None
    assert found.logits.std() > 0.5


@pytest.mark.parametrize('score', SCORES)
def test_text_features_are_unit_vectors_of_the_prompts(encoder, score):
    head = make_head(encoder, score=score)
    text = head.text_features(encoder)
    torch.testing.assert_close(text.positive, F.normalize(head.class_prompts(encoder), dim=-1))
    torch.testing.assert_close(text.semantic, F.normalize(head.semantic_prompts(encoder), dim=-1))
    assert (text.semantic - text.positive).abs().max() > 1e-3
    if score == 'sigmoid':
        assert text.negative is None
    else:
        torch.testing.assert_close(text.negative.norm(dim=-1), torch.ones(C))


def test_a_dual_score_is_the_two_way_softmax(encoder, seen):
    head = make_head(encoder, score='dual', bias=False)
    with torch.no_grad():
        head.bias.zero_()
    text = head.text_features(encoder)
    found = head(*seen, text)
    tau = head.log_temperature.exp()
    both = torch.stack([(found.features.whole() * side).sum(-1) for side in (text.positive, text.negative)])
    torch.testing.assert_close(torch.sigmoid(found.logits), torch.softmax(tau * both, 0)[0])


def test_a_shared_prompt_finds_and_aligns(encoder):
    head = make_head(encoder, shared_prompts=True)
    assert head.semantic_prompts is None
    text = head.text_features(encoder)
    assert torch.equal(text.semantic, text.positive)


@pytest.mark.parametrize(
    ('options', 'reached'),
    [
        (dict(), {'class_prompts', 'semantic_prompts'}),
        (dict(shared_prompts=True), {'class_prompts'}),
        (dict(score='dual'), {'class_prompts', 'semantic_prompts', 'negative_prompts'}),
        (dict(score='negative_embedding'), {'class_prompts', 'semantic_prompts', 'negative_embedding'}),
        (dict(label_specific=False), {'class_prompts'}),
    ],
)
def test_gradients_reach_every_prompt_bias_and_temperature(encoder, seen, options, reached):
    head = make_head(encoder, **options)
    head(*seen, head.text_features(encoder)).logits.square().sum().backward()
    assert {name.split('.')[0] for name, _ in head.named_parameters()} == reached | {'bias', 'log_temperature'}
    assert all(parameter.grad.abs().max() > 1e-6 for parameter in head.parameters())


def test_bias_and_temperature_can_be_held(encoder):
    head = make_head(encoder, bias=False, learn_temperature=False)
    assert {name for name, p in head.named_parameters() if p.requires_grad} == {
        'class_prompts.context',
        'semantic_prompts.context',
    }


def test_logits_are_computed_in_float32_under_autocast(encoder, seen):
    head = make_head(encoder)
    text = head.text_features(encoder)
    expected = head(*seen, text).logits
    with torch.autocast('cpu', torch.bfloat16):
        found = head(*seen, text).logits
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_an_unknown_score_is_refused(encoder):
    with pytest.raises(ConfigError, match="head.score: found 'softmax', expected one of sigmoid, dual"):
        make_head(encoder, score='softmax')


def test_calibration_makes_the_mean_score_the_class_rate(encoder):
    head = make_head(encoder)
    start = head.bias.detach().clone()
    generator = torch.Generator().manual_seed(2)
    logits = 8 * torch.randn(50, C, generator=generator) + torch.tensor([0.0, 9.0, -9.0, 3.0])
    labels = (torch.rand(50, C, generator=generator) < torch.tensor([0.5, 0.1, 0.9, 0.0])).int()
    labels[::3, 0] = -1
    labels[:49, 2] = -1
    head.calibrate_bias(logits, labels)
    shift = (head.bias - start).double()
    for c in range(C):
        rows = [i for i in range(50) if labels[i, c] != -1]
        rate = (sum(int(labels[i, c]) == 1 for i in rows) + 0.5) / (len(rows) + 1)
        scores = [1 / (1 + math.exp(-float(logits[i, c] + shift[c]))) for i in rows]
        assert sum(scores) / len(scores) == pytest.approx(rate, abs=1e-4)
    assert bool(head.bias_is_calibrated)


def test_calibration_leaves_a_class_without_known_cells_alone(encoder):
    head = make_head(encoder)
    start = head.bias.detach().clone()
    labels = torch.tensor([[1, -1, 0, 1], [0, -1, 0, 0]])
    head.calibrate_bias(torch.randn(2, C), labels)
    assert head.bias[1] == start[1]
    assert (head.bias[[0, 2, 3]] != start[[0, 2, 3]]).all()


def test_a_head_without_bias_stays_without_one(encoder):
    head = LabelAlignmentHead(encoder, NAMES, prompts=dict(num_context=2), bias=False)
    head.calibrate_bias(torch.randn(6, C), torch.ones(6, C))
    assert head.bias.tolist() == [0.0] * C


def test_the_attention_finds_the_position_that_matches(encoder):
    head = make_head(encoder, attention_temperature=100.0)
    text = TextFeatures(torch.eye(C, D), torch.eye(C, D), None)
    local = torch.full((1, N, D), 0.01)
    for c in range(C):
        local[0, c + 1, c] = 1.0
    attention = head(local, local.mean(1), text).attention
    assert attention.argmax(-1).tolist() == [[1, 2, 3, 4]]
    torch.testing.assert_close(attention.sum(-1), torch.ones(1, C))
