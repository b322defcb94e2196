"""The masked asymmetric loss against a float64 reference in plain Python, cross-entropy and autograd."""

import math

import numpy as np
import pytest
import torch

import cssa_mm  # noqa: F401
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.models.losses import MaskedAsymmetricLoss, masked_asymmetric_loss

pytestmark = pytest.mark.smoke


def reference_cell(x, target, gamma_negative, gamma_positive, clip, weight=1.0):
    """Loss and gradient of one known cell in float64; the focusing power is a constant for the gradient."""
    p = 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
    one_minus_p = 1 / (1 + math.exp(x)) if x <= 0 else math.exp(-x) / (1 + math.exp(-x))
    if target == 1:
        power = one_minus_p**gamma_positive
        log_p = math.log(p) if p > 0.5 else x - math.log1p(math.exp(x))
        return -weight * power * log_p, -weight * power * one_minus_p
    q = min(one_minus_p + clip, 1.0)
    power = max(p - clip, 0.0) ** gamma_negative
    slope = p * one_minus_p / q if one_minus_p + clip < 1 else 0.0
    return -weight * power * math.log(q), weight * power * slope


def reference(logits, targets, mask, weight, **options):
    """Sum, gradient (B, C) and number of known cells, cell by cell."""
    total, gradient, cells = 0.0, np.zeros(logits.shape), 0
    for b in range(logits.shape[0]):
        for c in range(logits.shape[1]):
            if targets[b, c] == -1 or not mask[b, c]:
                continue
            loss, slope = reference_cell(float(logits[b, c]), targets[b, c], **options, weight=float(weight[b, c]))
            total, gradient[b, c], cells = total + loss, slope, cells + 1
    return total, gradient, cells


def random_case(seed, shape=(7, 11), scale=3.0):
    rng = np.random.default_rng(seed)
    return {
        'logits': torch.tensor(rng.normal(0, scale, shape)),
        'targets': torch.tensor(rng.choice([1, 0, -1], shape), dtype=torch.int8),
        'mask': torch.tensor(rng.random(shape) < 0.8),
        'weight': torch.tensor(rng.random(shape)),
    }


OPTIONS = [
    {'gamma_negative': gamma_negative, 'gamma_positive': gamma_positive, 'clip': clip}
    for gamma_negative, gamma_positive, clip in [
        (4.0, 0.0, 0.05), (2.0, 1.0, 0.0), (0.0, 0.0, 0.05), (0.0, 0.0, 0.0), (1.5, 0.5, 0.2)
    ]
]  # fmt: skip


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
@pytest.mark.parametrize('seed', range(3))
def test_loss_and_gradient_equal_the_float64_reference(options, dtype, seed):
    case = random_case(seed)
    logits = case['logits'].to(dtype).requires_grad_()
    case['logits'] = logits
    total, gradient, cells = reference(**{k: v.detach().double().numpy() for k, v in case.items()}, **options)
    tolerance = {'rtol': 1e-10, 'atol': 1e-12} if dtype == torch.float64 else {'rtol': 1e-5, 'atol': 1e-6}

    for reduction, divisor in [('sum', 1), ('mean', cells), ('batch_mean', len(logits))]:
        loss = masked_asymmetric_loss(**case, **options, reduction=reduction)
        (found,) = torch.autograd.grad(loss, logits)
        assert loss.dtype == dtype
        np.testing.assert_allclose(loss.item(), total / divisor, **tolerance)
        np.testing.assert_allclose(found.numpy(), gradient / divisor, **tolerance)


def test_gradient_equals_autograd_with_the_focusing_power_held_constant():
    logits = random_case(5)['logits'].requires_grad_()
    targets = torch.tensor(np.random.default_rng(6).choice([1, 0], logits.shape), dtype=torch.int8)
    p = logits.sigmoid()
    q = (1 - p + 0.05).clamp(max=1)
    positive, negative = -((1 - p).detach() ** 1.5) * p.log(), -((1 - q).detach() ** 4) * q.log()
    (expected,) = torch.autograd.grad(torch.where(targets == 1, positive, negative).sum(), logits)
    loss = masked_asymmetric_loss(logits, targets, gamma_negative=4, gamma_positive=1.5, clip=0.05)
    (found,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(found, expected)


def test_without_focusing_and_clip_it_is_binary_cross_entropy():
    case = random_case(1, scale=8.0)
    logits = case['logits'].float()
    targets = (case['targets'] == 1).float()
    for reduction in ('sum', 'mean'):
        found = masked_asymmetric_loss(logits, targets, gamma_negative=0, gamma_positive=0, clip=0, reduction=reduction)
        expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction=reduction)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('bad', [float('inf'), -float('inf'), float('nan'), 1e30])
def test_masked_cells_give_no_loss_and_no_gradient_whatever_they_hold(options, bad):
    logits = torch.tensor([[0.3, bad, bad], [-1.2, 0.7, bad]], requires_grad=True)
    targets = torch.tensor([[1, -1, 0], [0, 1, 1]], dtype=torch.int8)
    mask = torch.tensor([[1, 1, 0], [1, 1, 0]])
    weight = torch.tensor([[1.0, bad, bad], [1.0, 1.0, bad]])
    loss = masked_asymmetric_loss(logits, targets, mask, weight, **options)
    (gradient,) = torch.autograd.grad(loss, logits)

    alone = logits.detach()[[0, 1, 1], [0, 0, 1]][None].requires_grad_()
    expected = masked_asymmetric_loss(alone, torch.tensor([[1, 0, 1]]), **options)
    (expected_gradient,) = torch.autograd.grad(expected, alone)
    torch.testing.assert_close(loss, expected)
    assert torch.equal(gradient[[0, 1, 1], [0, 0, 1]], expected_gradient[0])
    assert torch.equal(gradient[[0, 0, 1], [1, 2, 2]], torch.zeros(3))


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('target', [1, 0])
@pytest.mark.parametrize('x', [50.0, -50.0, 200.0, -200.0])
def test_extreme_logits_stay_finite_and_exact(options, target, x):
    logits = torch.tensor([[x]], requires_grad=True)
    loss = masked_asymmetric_loss(logits, torch.tensor([[target]], dtype=torch.int8), **options)
    (gradient,) = torch.autograd.grad(loss, logits)
    if abs(x) == 50:
        expected, slope = reference_cell(x, target, **options)
        if target == 0 and options['clip'] == 0:
            expected, slope = (50.0, 1.0) if x > 0 else (expected, slope)  # the reference loses log(1 - p)
        assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-20)
        assert gradient.item() == pytest.approx(slope, rel=1e-5, abs=1e-20)
    assert math.isfinite(loss.item())
    assert math.isfinite(gradient.item())


def test_reductions_without_any_known_cell_are_zero_with_zero_gradient():
    for reduction in ('sum', 'mean', 'batch_mean'):
        logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
        loss = masked_asymmetric_loss(logits, torch.full((3, 4), -1), reduction=reduction)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == 0
        assert torch.equal(gradient, torch.zeros(3, 4))


def test_bfloat16_logits_are_computed_in_float32_also_under_autocast():
    case = random_case(2)
    logits = case['logits'].bfloat16().requires_grad_()
    targets, weight = case['targets'], case['weight'].bfloat16()
    expected = masked_asymmetric_loss(logits.detach().float(), targets, weight=weight.float())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = masked_asymmetric_loss(logits, targets, weight=weight)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient.dtype == torch.bfloat16
    assert gradient.isfinite().all()


def test_targets_may_be_float_and_mean_divides_by_known_cells_not_by_weights():
    case = random_case(3)
    as_float = masked_asymmetric_loss(case['logits'], case['targets'].float(), reduction='mean')
    assert torch.equal(as_float, masked_asymmetric_loss(case['logits'], case['targets'], reduction='mean'))
    half = masked_asymmetric_loss(
        case['logits'], case['targets'], weight=torch.full(case['logits'].shape, 0.5), reduction='mean'
    )
    torch.testing.assert_close(half, as_float / 2)


def test_the_module_is_built_from_a_config_with_its_options():
    from mmpretrain.registry import MODELS

    module = MODELS.build(
        {
            'type': 'MaskedAsymmetricLoss',
            'gamma_negative': 2.0,
            'gamma_positive': 1.0,
            'clip': 0.1,
            'reduction': 'mean',
        }
    )
    assert isinstance(module, MaskedAsymmetricLoss)
    case = random_case(4)
    expected = masked_asymmetric_loss(**case, gamma_negative=2.0, gamma_positive=1.0, clip=0.1, reduction='mean')
    assert torch.equal(module(**case), expected)
    assert not torch.equal(MaskedAsymmetricLoss()(**case), expected)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'reduction': 'batchmean'}, "Did you mean 'batch_mean'"),
        ({'clip': 1.0}, 'clip=1.0'),
        ({'clip': -0.1}, 'clip=-0.1'),
        ({'gamma_negative': -1.0}, 'gamma_negative=-1.0'),
        ({'gamma_positive': float('nan')}, 'gamma_positive=nan'),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, message):
    with pytest.raises(ConfigError, match=message) as error:
        MaskedAsymmetricLoss(**options)
    assert '\n' not in str(error.value)


def test_cells_that_do_not_fit_are_refused():
    logits = torch.zeros(2, 3)
    with pytest.raises(DataError, match='targets of shape'):
        masked_asymmetric_loss(logits, torch.zeros(3))
    with pytest.raises(DataError, match='mask of shape'):
        masked_asymmetric_loss(logits, torch.zeros(2, 3), mask=torch.ones(2))
    with pytest.raises(DataError, match='soft labels'):
        masked_asymmetric_loss(logits, torch.full((2, 3), 0.5))
