import pytest
import torch

from cssa_mm.errors import DataError
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


def test_a_file_holds_all_that_a_cache_does(features, tmp_path):
    path = tmp_path / 'new' / 'features.pt'
    path.parent.mkdir()
    FeatureCache(VIEWS, *features, serves_training=True, bad_images={'b': 'truncated'}).save(path)
    found = FeatureCache.load(path)
    assert found.serves_training
    assert found.bad_images == {'b': 'truncated'}
    local, pooled = found.lookup(VIEWS, torch.device('cpu'))
    assert torch.equal(local, features[0])
    assert torch.equal(pooled, features[1])
    assert [entry.name for entry in path.parent.iterdir()] == ['features.pt']


@pytest.mark.parametrize('content', [b'', b'no features', None])
def test_a_file_without_features_is_refused(tmp_path, content):
    path = tmp_path / 'features.pt'
    if content is None:
        torch.save(dict(other=1), path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r'features.pt: found no readable features \(.*remove the file'):
        FeatureCache.load(path)


@pytest.mark.parametrize(
    'change',
    [
        dict(views=[('a', False)]), dict(views=[3, 4]), dict(views=None), dict(local=None), dict(bad_images=[1]),
        dict(local=torch.zeros(4, 16)), dict(pooled=torch.zeros(3, 16)), dict(serves_training=None),
        dict(pooled=torch.zeros(4, 15)), dict(views=[(['a'], False)] * 4),
    ],
)  # fmt: skip
def test_features_of_another_form_are_refused(features, tmp_path, change):
    path = tmp_path / 'features.pt'
    FeatureCache(VIEWS, *features, serves_training=True).save(path)
    torch.save(torch.load(path, weights_only=True) | change, path)
    with pytest.raises(DataError, match='found no readable features'):
        FeatureCache.load(path)
