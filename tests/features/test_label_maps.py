"""The maps that are shown. Oracle: the rule of each kind of pooling, cell by cell."""

import numpy as np
import pytest
import torch

from cssa_mm.errors import ConfigError
from cssa_mm.features.label_maps import RULES, label_maps, label_text, rule_of
from cssa_mm.models.towers.layout import POOLINGS, CellLayout


@pytest.fixture
def model(make_model):
    return make_model().eval()


@pytest.fixture
def features():
    """Local features (2, 1 + 9, 16) with lengths from .1 to 5, the global token first."""
    generator = torch.Generator().manual_seed(0)
    local = torch.randn(2, 10, 16, generator=generator)
    return local * torch.linspace(0.1, 5, 10)[None, :, None]


def as_pooled(model, pooling: str):
    model.backbone.layout = CellLayout(pooling, (32.0, 32.0), (4.0, 14.0))
    return model


@pytest.mark.parametrize('pooling', POOLINGS)
def test_the_map_follows_the_pooling_of_the_tower(model, features, pooling):
    model, text = as_pooled(model, pooling), label_text(model)
    found = label_maps(model, features, text, (96, 96))
    assert found.values.shape == (2, 6, 3, 3)
    np.testing.assert_allclose(found.rows * 96, [4, 36, 68])
    np.testing.assert_allclose(found.columns * 96, [14, 46, 78])
    for image in range(2):
        for label in range(6):
            cells = np.zeros((3, 3))
            for cell in range(9):
                vector = features[image, 1 + cell]
                similar, length = float(text[label] @ vector), float(vector.norm())
                cells[divmod(cell, 3)] = max(similar, 0) * length if pooling == 'mean' else similar / length
            cells = smoothed(cells) if pooling == 'mean' else np.maximum(cells - cells.mean(), 0)
            np.testing.assert_allclose(found.values[image, label], cells, rtol=1e-4, atol=1e-5)


def smoothed(cells: np.ndarray) -> np.ndarray:
    """A Gaussian of one cell, cut at four, over a grid whose border is repeated: the sum over all pairs of cells."""
    offsets = np.arange(-4, 5)
    weights = np.exp(-(offsets**2) / 2)
    weights /= weights.sum()
    result = np.zeros_like(cells)
    for row in range(3):
        for column in range(3):
            for down, by_row in zip(offsets, weights, strict=True):
                for across, by_column in zip(offsets, weights, strict=True):
                    place = np.clip([row + down, column + across], 0, 2)
                    result[row, column] += by_row * by_column * cells[tuple(place)]
    return result


def test_each_rule_is_said_in_words_of_its_own(model):
    texts = [rule_of(as_pooled(model, pooling)).text for pooling in POOLINGS]
    assert len(set(texts)) == 3
    assert ['length, smoothed by one cell' in text for text in texts] == [
        RULES[pooling].has_length for pooling in POOLINGS
    ]
    assert all(text.startswith('Bright cells speak for the label: ') for text in texts)


def test_the_prompts_are_those_of_the_averaged_model(model):
    before = label_text(model)
    torch.testing.assert_close(before, model.head.text_features(model.text_encoder).semantic)
    for value in model.teacher.buffers():
        if value.is_floating_point():
            value.add_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    assert (label_text(model) - before).abs().max() > 1e-3


def test_images_need_not_be_square_but_their_cells_must_be_a_grid(model, features):
    as_pooled(model, 'other')
    assert label_maps(model, features[:, :9], label_text(model), (64, 128)).values.shape == (2, 6, 2, 4)
    with pytest.raises(ConfigError, match='are no grid'):
        label_maps(model, features, label_text(model), (64, 128))
