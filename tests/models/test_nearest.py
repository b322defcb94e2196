"""Oracle: all cosines at once in numpy, sorted."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cssa_mm.models import nearest
from cssa_mm.models.nearest import SELF, cover, nearest_keys

D = 5


def unit(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, D, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize('k', [1, 4, 23])
def test_the_nearest_keys_come_in_order(k):
    queries, keys = unit(7, 0), unit(23, 1)
    cosine, index = nearest_keys(queries, keys, k)
    every = queries.double().numpy() @ keys.double().numpy().T
    expected = np.argsort(-every, axis=1)[:, :k]
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_allclose(cosine, np.take_along_axis(every, expected, 1), atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_a_key_that_equals_the_query_stands_last(dtype):
    """In half precision too, in which keys are stored."""
    keys = unit(9, 1)
    cosine, index = nearest_keys(keys, keys.to(dtype), 9)
    assert index[:, -1].tolist() == list(range(9))
    assert (cosine[:, -1] == SELF).all()
    assert (cosine[:, :-1] < 0.999).all()
    assert (cosine[:, :-1] >= -1.001).all()


def test_all_copies_of_a_photo_stand_last():
    keys = torch.cat([unit(6, 1), unit(2, 2), unit(2, 2)])
    cosine, index = nearest_keys(keys[6:7], keys, 10)
    assert set(index[0, -2:].tolist()) == {6, 8}
    assert (cosine[0, -2:] == SELF).all()


@pytest.mark.parametrize('block', [1, 3, 10, 22])
def test_blocks_give_what_one_block_gives(block, monkeypatch):
    """The last block may be smaller than k, and the query may lie in any."""
    keys = unit(23, 1)
    queries = torch.cat([unit(7, 0), keys[[0, 11, 22]]])
    expected = nearest_keys(queries, keys.half(), 6)
    monkeypatch.setattr(nearest, 'BLOCK', block)
    found = nearest_keys(queries, keys.half(), 6)
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-6)
    assert torch.equal(found[1], expected[1])


def test_few_vectors_are_all_taken():
    for most in (5, 6):
        assert cover(unit(5, 0), most, seed=0).tolist() == [0, 1, 2, 3, 4]


def test_a_cover_is_spread_over_all_clusters():
    """Three quarters of the vectors lie in one of ten clusters: chance would miss some."""
    centres = F.normalize(torch.randn(10, 64, generator=torch.Generator().manual_seed(0)), dim=-1)
    cluster = torch.cat([torch.zeros(60, dtype=torch.int64), torch.arange(1, 10).repeat(2)])
    noise = torch.randn(len(cluster), 64, generator=torch.Generator().manual_seed(1))
    vectors = F.normalize(centres[cluster] + 5e-4 * noise, dim=-1)
    for seed in range(5):
        rows = cover(vectors, 10, seed)
        assert sorted(cluster[rows].tolist()) == list(range(10))


@pytest.mark.parametrize(('count', 'most'), [(60, 20), (400, 20)])
def test_a_cover_is_ascending_without_repeats_and_drawn_by_the_seed(count, most):
    """The larger set is thinned out first."""
    vectors = unit(count, 0)
    rows = cover(vectors, most, seed=3)
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == most
    assert 0 <= int(rows.min()) <= int(rows.max()) < count
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(rows, cover(vectors, most, seed=3))
    assert not torch.equal(rows, cover(vectors, most, seed=4))


def test_equal_vectors_are_stored_no_more_often_than_asked():
    rows = cover(unit(1, 0).repeat(30, 1), 4, seed=0)
    assert 1 <= len(rows) <= 4
    assert len(set(rows.tolist())) == len(rows)
