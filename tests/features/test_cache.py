import pytest
import torch
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.features.cache import FeatureCache
from cssa_mm.features.training import without_images

VIEWS = [('a', False), ('b', False), ('a', True), ('b', True)]


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 5, 16, generator=generator), torch.randn(4, 16, generator=generator)


def test_features_are_found_by_image_and_side_and_in_any_order(features):
    cache = FeatureCache(VIEWS, *features, serves_training=True)
    local, pooled = cache.lookup([('b', True), ('a', False)], torch.device('cpu'))
    assert torch.equal(local, features[0][[3, 0]])
    assert torch.equal(pooled, features[1][[3, 0]])
    assert cache.holds(VIEWS)
    assert not cache.holds([('a', False), ('c', False)])
    assert len(cache) == 4


def test_batches_are_the_views_in_order(features):
    cache = FeatureCache(VIEWS, *features, serves_training=True)
    batches = list(cache.batches(VIEWS, torch.device('cpu'), batch_size=3))
    assert [len(local) for local, _ in batches] == [3, 1]
    assert torch.equal(torch.cat([pooled for _, pooled in batches]), features[1])


@pytest.mark.parametrize('serves_training', [True, False])
def test_training_reads_the_cache_only_where_it_holds_all_training_views(make_model, make_sample, serves_training):
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    samples = [make_sample(image_id, [1, 0, 0, 0, 0, 0]) for image_id in 'ab']
    for sample, flip in zip(samples, (True, False), strict=True):
        sample.set_metainfo(dict(flip=flip))
    model = make_model()
    expected = model.loss(images, samples)
    local, pooled = model.backbone(images)
    model.feature_cache = FeatureCache([('b', False), ('a', True)], local.flip(0), pooled.flip(0), serves_training)
    calls = []
    forward = model.backbone.forward
    model.backbone.forward = lambda images: calls.append(1) or forward(images)
    found = model.loss(images, samples)
    assert {k: float(v) for k, v in found.items()} == {k: float(v) for k, v in expected.items()}
    assert bool(calls) is not serves_training


def test_without_images_draws_the_same_flips_and_packs_the_same_labels(tiny_config):
    dataset = DATASETS.build(tiny_config().train_dataloader.dataset)
    keys = [SampleKey(index, seed) for index in range(4) for seed in range(8)]
    expected = [dataset[key]['data_samples'] for key in keys]
    dataset.pipeline = without_images(dataset.pipeline)
    items = [dataset[key] for key in keys]
    assert {item['inputs'].shape for item in items} == {(3, 2, 2)}
    assert [item['data_samples'].flip for item in items] == [sample.flip for sample in expected]
    assert {sample.flip for sample in expected} == {True, False}
    for item, sample in zip(items, expected, strict=True):
        assert item['data_samples'].image_id == sample.image_id
        assert (item['data_samples'].gt_score == sample.gt_score).all()
