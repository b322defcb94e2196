"""Where cells lie. Oracles: the arithmetic of strides and paddings, and gradients."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from cssa_mm.errors import ConfigError
from cssa_mm.models.towers.layout import CellLayout, first_centre


def chain(*layers: tuple[int, int, tuple[int, int, int, int]]):
    """Convolutions (kernel, stride, padding) whose kernels look straight ahead, and the centre of their first cell."""
    modules, centre, jump = [], [0.5, 0.5], 1
    for kernel, stride, padding in layers:
        convolution = nn.Conv2d(3, 3, kernel, stride, bias=False)
        nn.init.constant_(convolution.weight, 1 / kernel**2)
        convolution.weight.data *= torch.eye(3)[:, :, None, None]
        modules += [nn.ZeroPad2d(padding), convolution]
        left, _, top, _ = padding
        centre = [centre[0] + ((kernel - 1) / 2 - top) * jump, centre[1] + ((kernel - 1) / 2 - left) * jump]
        jump *= stride
    network = nn.Sequential(*modules)
    return lambda images: network(images).flatten(2).transpose(1, 2), centre, jump


SAME, AFTER = (1, 1, 1, 1), (0, 1, 0, 1)  # left, right, top, bottom: as torch pads, and as TensorFlow


@pytest.mark.parametrize(
    'layers',
    [
        [(3, 2, SAME)] * 3,  # at the corner of the cell
        [(3, 2, AFTER)] * 3,  # at the other corner
        [(3, 2, (1, 1, 0, 1))] * 3,  # one way down, the other across
        [(8, 8, (0, 0, 0, 0))],  # patches: the middle
    ],
    ids=['torch', 'tensorflow', 'mixed', 'patches'],
)
def test_the_first_cell_of_convolutions_is_where_strides_and_paddings_put_it(layers):
    local, centre, stride = chain(*layers)
    assert first_centre(local, (96, 96), (stride, stride)) == pytest.approx(centre, abs=1.0)


@pytest.mark.parametrize(('tower', 'pooling'), [('tiny-rn', 'attention'), ('tiny-vit', 'other'), ('tiny-timm', 'mean')])
def test_a_tower_says_how_it_pools_and_where_its_cells_lie(backbone_config, tower, pooling):
    layout = MODELS.build(backbone_config(tower)).layout
    assert layout.pooling == pooling
    stride = 16 if tower == 'tiny-vit' else 32
    assert layout.stride == (stride, stride)
    if tower != 'tiny-timm':
        assert layout.first == (stride / 2, stride / 2)


def test_the_cells_of_the_demo_s_tower_lie_where_their_gradients_are():
    """The mean place of the pixels that change a cell's features, over several inputs and cells."""
    backbone = MODELS.build(dict(type='OpenCLIPBackbone', model_name='cssa-demo-rn', pretrained='demo'))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 128, 128, generator=generator).requires_grad_()
    with torch.enable_grad():
        local = backbone._features(backbone.clip.visual, images, 'value', False)[0]
    rows, columns = backbone.layout.centres((4, 4), (128, 128))
    found = []
    for row in (1, 2):
        for column in (1, 2):
            cell = local[:, row * 4 + column]
            (gradient,) = torch.autograd.grad((cell * torch.randn(cell.shape)).sum(), images, retain_graph=True)
            energy = gradient.pow(2).sum((0, 1))
            place = torch.arange(128) + 0.5
            y, x = (energy.sum(1) * place).sum() / energy.sum(), (energy.sum(0) * place).sum() / energy.sum()
            found.append((float(y) - rows[row] * 128, float(x) - columns[column] * 128))
    assert np.abs(np.mean(found, axis=0)).max() < 5  # of 32: half a cell would be 16


def test_the_layout_is_found_once_and_says_the_same_again(backbone_config):
    one, other = (MODELS.build(backbone_config('tiny-timm')) for _ in range(2))
    assert one.layout is one.layout
    assert one.layout == other.layout


def test_cells_make_a_grid_over_images_of_any_shape():
    layout = CellLayout('mean', (32.0, 32.0), (4.0, 14.0))
    assert layout.grid(49, (224, 224)) == (7, 7)
    assert layout.grid(10, (70, 160)) == (2, 5)
    assert layout.grid(12, (70, 130)) == (3, 4)  # rounded up down, and off across
    with pytest.raises(ConfigError, match='found 100 x 100 pixels .* whose 49 local features are no grid'):
        layout.grid(49, (100, 100))
    rows, columns = layout.centres((7, 7), (224, 224))
    np.testing.assert_allclose(rows * 224, 4 + 32 * np.arange(7))
    np.testing.assert_allclose(columns * 224, 14 + 32 * np.arange(7))
    rows, _ = CellLayout('mean', (32.0, 32.0), (-9.0, 40.0)).centres((7, 7), (224, 224))
    assert rows[0] == 0  # never outside the image
