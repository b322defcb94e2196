import pytest
import torch
from mmpretrain.registry import MODELS

from cssa_mm.models.objective import Targets
from cssa_mm.models.preprocessor import CSSADataPreprocessor

MEAN, STD = [10.0, 20.0, 30.0], [2.0, 4.0, 5.0]


@pytest.fixture
def preprocessor():
    return CSSADataPreprocessor(mean=MEAN, std=STD, to_rgb=False)


@pytest.fixture
def batch(make_sample):
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randint(0, 256, (3, 8, 6), dtype=torch.uint8, generator=generator) for _ in range(2)]
    return dict(inputs=inputs, data_samples=[make_sample('a', [1, 0]), make_sample('b', [0, 1])])


def make_targets():
    return Targets(torch.ones(2, 2), torch.ones(2, 2), torch.tensor([True, False]), torch.tensor([True, True]), True)


def test_it_is_registered_and_what_a_classifier_gets_by_default(make_model):
    assert MODELS.get('CSSADataPreprocessor') is CSSADataPreprocessor
    assert type(make_model().data_preprocessor) is CSSADataPreprocessor


@pytest.mark.smoke
def test_images_are_normalised_channel_by_channel_without_swapping_them(preprocessor, batch):
    found = preprocessor(batch)
    assert set(found) == {'inputs', 'data_samples'}
    for c in range(3):
        expected = torch.stack([(image[c].float() - MEAN[c]) / STD[c] for image in batch['inputs']])
        torch.testing.assert_close(found['inputs'][:, c], expected)


def test_targets_pass_through_beside_the_images(preprocessor, batch):
    targets = make_targets()
    found = preprocessor(batch | dict(targets=targets, features=None), training=True)
    assert set(found) == {'inputs', 'data_samples', 'targets'}
    assert found['inputs'].shape == (2, 3, 8, 6)
    assert isinstance(found['targets'], Targets)
    assert found['targets'].is_semi_supervised is True
    assert all(torch.equal(a, b) for a, b in zip(found['targets'][:4], targets[:4], strict=True))


def test_a_batch_with_features_needs_no_images(preprocessor, batch):
    features = (torch.rand(2, 5, 4), torch.rand(2, 4))
    found = preprocessor(batch | dict(inputs=[object(), object()], features=features, targets=make_targets()))
    assert len(found['inputs']) == 0
    assert found['data_samples'] is batch['data_samples']
    assert all(torch.equal(a, b) for a, b in zip(found['features'], features, strict=True))


def test_what_is_added_moves_to_the_device_of_the_preprocessor(preprocessor):
    preprocessor.to('meta')  # holds no values: a second device on any machine
    added = dict(targets=make_targets(), features=(torch.rand(2, 5, 4), torch.rand(2, 4)))
    found = preprocessor(dict(inputs=[], data_samples=None) | added)
    assert [value.device.type for value in (*found['targets'][:4], *found['features'])] == ['meta'] * 6
