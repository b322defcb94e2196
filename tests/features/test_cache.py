import pytest
import torch

from cssa_mm.features.cache import FeatureCache

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


def test_features_lie_in_several_shards_and_leave_in_float32(features):
    halves = [tuple(tensor[rows].half() for tensor in features) for rows in (slice(0, 1), slice(1, 4))]
    places = {view: (int(row > 0), row - int(row > 0)) for row, view in enumerate(VIEWS)}
    cache = FeatureCache.of_shards(places, halves, serves_training=True)
    for wanted in ([3, 0, 2, 0], [2, 3]):
        local, pooled = cache.lookup([VIEWS[row] for row in wanted], torch.device('cpu'))
        assert local.dtype == pooled.dtype == torch.float32
        assert torch.equal(local, features[0].half().float()[wanted])
        assert torch.equal(pooled, features[1].half().float()[wanted])
    assert len(cache) == 4
    assert cache.nbytes == 4 * (5 + 1) * 16 * 2
    assert VIEWS[1] in cache
    assert ('c', False) not in cache
