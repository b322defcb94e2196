"""Multiply-adds of tower and head, against torch's own counter and sizes worked out by hand."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cssa_mm.apis.toolbox.flops import Scored, counters, report


def of_layers(model, image):
    """Multiply-adds of the convolutions and linear layers that run, from the shapes of their outputs."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        taps = module.weight[0].numel()  # of one output value
        total += output.numel() * taps

    visual = model.backbone.clip.visual
    kinds = (nn.Conv2d, nn.Linear)
    hooks = [module.register_forward_hook(count) for module in visual.modules() if isinstance(module, kinds)]
    with torch.no_grad():
        model.score(*model.backbone(image))
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize('tower', ['tiny-rn', 'tiny-vit', 'tiny-timm'])
@pytest.mark.parametrize('side', [64, 96])
def test_the_count_is_that_of_torch_s_counter(make_model, backbone_config, tower, side):
    model = make_model(backbone=backbone_config(tower)).eval()
    flops, _ = counters(model, side, side)
    image = torch.zeros(1, 3, side, side)
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # a fused layer is counted by nobody
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            Scored(model)(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
    products = {name: count for name, count in flops.by_operator().items() if 'norm' not in name and 'pool' not in name}
    assert 2 * sum(products.values()) == counter.get_total_flops()
    assert torch.backends.mha.get_fastpath_enabled() == enabled


def test_convolutions_and_linear_layers_are_counted_layer_by_layer(make_model):
    model = make_model().eval()
    flops, _ = counters(model, 64, 64)
    by_operator = flops.by_operator()
    assert by_operator['conv'] + by_operator['linear'] == of_layers(model, torch.zeros(1, 3, 64, 64))
    # The head, 6 classes and 5 positions of 16 values: products of positions with both texts and with each other, and
    # the lengths by these.
    assert by_operator['matmul'] == 2 * 6 * 5 * 16 + 5 * 5 * 16 + 6 * 5 * 5


def test_the_report_tells_frozen_from_trained_parameters(tiny_config):
    text = report(tiny_config(), 64, 64)
    from mmpretrain.registry import MODELS

    model = MODELS.build(tiny_config().model)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.backbone.clip.visual.parameters())
    assert f'image tower {frozen:,} (frozen), trained {trained:,}' in text
    assert 'Input shape: (3, 64, 64)' in text
