"""Oracle: the model itself, all images in one batch."""

import numpy as np
import pytest
import torch

from cssa_mm.datasets.view import View
from cssa_mm.features.frozen_features import FrozenFeatures
from cssa_mm.semi.policies import build_policy
from cssa_mm.semi.reader import Reader
from cssa_mm.semi.semi_supervision import SemiSupervision, Settings

PARTS = {'prompts': {}, 'neighbours': dict(neighbours=dict(k=5)), 'both': dict(neighbours=dict(k=5), evidence=dict())}


@pytest.fixture
def read(make_model, dataset):
    """read('both') -> a reader whose model is fitted to the training images."""

    def make(parts: str) -> Reader:
        model = make_model(**PARTS[parts]).eval()
        features = FrozenFeatures(model, dataset, View(size=None), batch_size=7)
        algorithm = SemiSupervision(model, dataset, features, Settings(policy=build_policy('cat')))
        algorithm.refresh()
        return algorithm.reader

    return make


@pytest.mark.parametrize('parts', PARTS)
def test_the_readings_of_some_images_are_what_the_scores_stand_for(read, parts):
    reader = read(parts)
    indices = np.array([3, 30, 4, 11, 12, 39, 1, 0, 25])
    local, pooled = (torch.cat(part) for part in zip(*reader.features.batches(indices, ''), strict=True))
    found = reader.read(indices)
    if parts == 'both':
        expected = reader.model.components(local, pooled).transpose(0, 1)
    else:
        expected = reader.model.logits(local, pooled)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reader.scores_of(found), reader.model.score(local, pooled), rtol=1e-4, atol=1e-5)


def test_other_weights_give_other_scores_of_the_same_readings(read):
    reader = read('both')
    found = reader.read(np.arange(10))
    before = reader.scores_of(found)
    reader.model.evidence.weights.copy_(torch.tensor([0.0, 2.0, 0.0]))
    after = reader.scores_of(found)
    assert (after - before).abs().max() > 1e-2
    expected = torch.sigmoid(2 * found[:, 1] / reader.model.evidence.scale + reader.model.evidence.bias)
    torch.testing.assert_close(after, expected)


@pytest.mark.parametrize('parts', PARTS)
def test_no_image_gives_no_row(read, parts):
    reader = read(parts)
    found = reader.read(np.array([], dtype=int))
    assert found.shape == ((0, 3, 6) if parts == 'both' else (0, 6))
    assert reader.scores_of(found).shape == (0, 6)
