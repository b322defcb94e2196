"""Oracle: the features written down (B, C, D), pooled, normalised and multiplied, in float64."""

import pytest
import torch
import torch.nn.functional as F

from cssa_mm.models import label_features
from cssa_mm.models.label_features import LabelFeatures, LocalFeatures
from tests.models.conftest import LargestTensor

B, N, C, D = 3, 7, 5, 12
TAU = 6.0


@pytest.fixture
def local() -> torch.Tensor:
    """Unit local features (B, N, D) in a cone, as those of a tower are."""
    generator = torch.Generator().manual_seed(0)
    return F.normalize(torch.randn(B, N, D, generator=generator) + 1, dim=-1)


@pytest.fixture
def texts() -> torch.Tensor:
    """Two unit text features of each class (2, C, D)."""
    return F.normalize(torch.randn(2, C, D, generator=torch.Generator().manual_seed(1)), dim=-1)


def written_down(local: torch.Tensor, text: torch.Tensor, renormalise: bool) -> torch.Tensor:
    pooled = torch.softmax(TAU * torch.einsum('cd,bnd->bcn', text, local), -1) @ local
    return F.normalize(pooled, dim=-1) if renormalise else pooled


@pytest.mark.smoke
@pytest.mark.parametrize('renormalise', [True, False])
@pytest.mark.parametrize('is_shared', [True, False])
def test_products_and_sums_and_their_gradients_are_those_of_the_features_written_down(
    local, texts, renormalise, is_shared
):
    factors = torch.rand(B, C, generator=torch.Generator().manual_seed(2))
    found, expected = [], []
    for dtype, results in ((torch.float32, found), (torch.float64, expected)):
        finding, aligning = texts.to(dtype).clone().requires_grad_()
        aligning = finding if is_shared else aligning
        leaves, given = ([finding] if is_shared else [finding, aligning]), local.to(dtype)
        if results is found:
            features = LabelFeatures(LocalFeatures(given), finding, TAU, renormalise)
            read = [features.along(aligning), features.summed(factors), features.whole()]
        else:
            features = written_down(given, finding, renormalise)
            read = [(features * aligning).sum(-1), torch.einsum('bc,bcd->bd', factors.double(), features), features]
        for part in read[:2]:
            results += [
                part.detach(),
                *torch.autograd.grad(part.square().sum(), leaves, retain_graph=True, allow_unused=True),
            ]
        results.append(read[2].detach())
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        if theirs is None:
            assert ours is None
        else:
            torch.testing.assert_close(ours.double(), theirs, rtol=2e-6, atol=2e-6)
            assert theirs.abs().max() > 1e-2


@pytest.mark.parametrize('renormalise', [True, False])
@pytest.mark.parametrize('is_known', [True, False])
def test_the_features_of_single_cells_are_those_among_all(local, texts, renormalise, is_known, monkeypatch):
    features = LabelFeatures(LocalFeatures(local), texts[0], TAU, renormalise)
    if is_known:
        assert features.weights.shape == (B, C, N)
    cells = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]]).bool()
    expected = written_down(local, texts[0], renormalise)
    for most in (256, 4):
        monkeypatch.setattr(label_features, 'CELLS', most)
        torch.testing.assert_close(features.of(cells), expected[cells], rtol=1e-5, atol=1e-6)
    assert ('weights' in vars(features)) is is_known  # no other cell was computed for them
    assert features.of(torch.zeros_like(cells)).shape == (0, D)


@pytest.mark.parametrize('renormalise', [True, False])
@pytest.mark.parametrize('is_known', [True, False])
def test_features_are_summed_over_the_images_that_are_chosen_for_each_class(local, texts, renormalise, is_known):
    features = LabelFeatures(LocalFeatures(local), texts[0], TAU, renormalise)
    if is_known:
        assert features.weights.shape == (B, C, N)
    cells = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 1, 1, 1]]).bool()
    classes, sums = features.summed_over_images(cells)
    assert classes.tolist() == [0, 2, 3, 4]
    expected = (written_down(local, texts[0], renormalise) * cells[..., None]).sum(0)
    torch.testing.assert_close(sums, expected[classes], rtol=1e-5, atol=1e-6)
    assert ('weights' in vars(features)) is is_known


@pytest.mark.parametrize('kind', ['black', 'opposite'])
def test_features_without_a_direction_give_finite_products_and_gradients(texts, kind):
    """Those of a black image, and of positions that cancel each other out."""
    local = torch.zeros(1, 2, D)
    if kind == 'opposite':
        local[0, :, 0] = torch.tensor([1.0, -1.0])
    finding = torch.zeros(C, D) if kind == 'opposite' else texts[0].clone()
    found = LabelFeatures(LocalFeatures(local), finding.requires_grad_(), TAU, True).along(texts[1])
    (gradient,) = torch.autograd.grad(found.sum(), finding)
    torch.testing.assert_close(found, torch.zeros(1, C), rtol=0, atol=1e-3)
    assert torch.isfinite(gradient).all()


def test_the_sum_over_classes_is_computed_in_float32_under_autocast(local, texts):
    factors = torch.rand(B, C)
    features = LabelFeatures(LocalFeatures(local), texts[0], TAU, True)
    with torch.autocast('cpu', torch.bfloat16):
        found = features.summed(factors)
    assert torch.equal(found, LabelFeatures(LocalFeatures(local), texts[0], TAU, True).summed(factors))


@pytest.mark.parametrize('context_head', [None, dict(num_contexts=2), dict(num_contexts=2, input='logits')])
def test_no_tensor_of_a_step_is_as_large_as_all_features_and_the_image_tower_is_left_alone(
    make_model, make_sample, context_head, monkeypatch
):
    model = make_model(context_head=context_head).train()
    num_classes, images = len(model.class_names), 1024
    generator = torch.Generator().manual_seed(0)
    local, pooled = torch.randn(images, 4, 16, generator=generator), torch.randn(images, 16, generator=generator)
    samples = [make_sample(str(i), [1, 0] * (num_classes // 2)) for i in range(images)]
    encoded = []
    monkeypatch.setattr(model.backbone, 'forward', lambda *given: pytest.fail('the image tower was asked'))
    model.text_encoder.register_forward_hook(lambda module, given, found: encoded.append(len(found)))
    with LargestTensor() as largest:
        sum(model.loss(torch.zeros(images, 0), samples, features=(local, pooled)).values()).backward()
    assert encoded == [num_classes, num_classes]  # once for each prompt of a class: to find, and to align
    assert local.numel() <= largest.numel < images * num_classes * 16
    assert model.head.class_prompts.context.grad.abs().max() > 0
