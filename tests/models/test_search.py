"""Oracle: the exact search."""

import copy
import pickle
import sys

import pytest
import torch
import torch.nn.functional as F

from cssa_mm.errors import ConfigError
from cssa_mm.models import search
from cssa_mm.models.nearest import SELF, nearest_keys
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.models.search import NeighbourSearch

D = 8


def unit(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, D, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture
def few(monkeypatch):
    """More than 100 keys count as many."""
    monkeypatch.setattr(search, 'LARGEST', 100)
    monkeypatch.setattr(search, 'LISTS', 8)
    monkeypatch.setattr(search, 'PROBED', 8)
    monkeypatch.setattr(search, 'SAMPLES', 320)


@pytest.fixture
def faiss():
    """faiss, or the test is left out."""
    return pytest.importorskip('faiss')


def test_up_to_the_limit_the_search_is_exact_and_needs_no_library(few, monkeypatch):
    monkeypatch.setitem(sys.modules, 'faiss', None)
    queries, keys = unit(5, 0), unit(100, 1).half()
    for ours, theirs in zip(NeighbourSearch()(queries, keys, 7), nearest_keys(queries, keys, 7), strict=True):
        assert torch.equal(ours, theirs)


def test_beyond_it_a_missing_library_is_one_line(few, monkeypatch):
    monkeypatch.setitem(sys.modules, 'faiss', None)
    expected = (
        r'^model.neighbours: found 101 stored images and no faiss, expected it for more than 100; install it: pip '
        r"install 'cssa_mm\[faiss\]', or train with model.neighbours.max_images=100$"
    )
    with pytest.raises(ConfigError, match=expected):
        NeighbourSearch()(unit(5, 0), unit(101, 1), 7)


def test_an_index_that_looks_everywhere_finds_what_the_exact_search_finds(few, faiss):
    keys = unit(400, 1).half()
    queries = torch.cat([unit(5, 0), keys[:3].float()])
    cosine, index = NeighbourSearch()(queries, keys, 7)
    expected = nearest_keys(queries, keys, 7)
    torch.testing.assert_close(cosine, expected[0], rtol=0, atol=1e-6)
    assert torch.equal(index, expected[1])


def test_an_index_that_looks_in_some_lists_finds_most_with_exact_cosines(few, faiss, monkeypatch):
    monkeypatch.setattr(search, 'PROBED', 3)
    queries, keys = unit(50, 0), unit(400, 1).half()
    cosine, index = NeighbourSearch()(queries, keys, 7)
    expected = nearest_keys(queries, keys, 7)[1]
    found = [len(set(ours) & set(theirs)) / 7 for ours, theirs in zip(index.tolist(), expected.tolist(), strict=True)]
    assert 0.6 < sum(found) / len(found) < 1
    torch.testing.assert_close(cosine, (queries[:, None] * keys.float()[index]).sum(-1), rtol=0, atol=1e-6)


def test_too_few_found_keys_have_no_say(few, faiss, monkeypatch):
    monkeypatch.setattr(search, 'PROBED', 1)
    cosine, index = NeighbourSearch()(unit(5, 0), unit(120, 1).half(), 90)
    assert (cosine[:, -1] == SELF).all()
    assert ((index >= 0) & (index < 120)).all()


def test_an_image_alone_finds_what_it_finds_in_a_batch(few, faiss):
    queries, keys, look_up = unit(30, 0), unit(400, 1).half(), NeighbourSearch()
    together = look_up(queries, keys, 7)
    alone = [look_up(query[None], keys, 7) for query in queries]
    torch.testing.assert_close(torch.cat([each[0] for each in alone]), together[0], rtol=0, atol=1e-6)
    assert torch.equal(torch.cat([each[1] for each in alone]), together[1])


def test_the_index_is_built_once_and_anew_for_other_keys(few, faiss, monkeypatch):
    built = []
    build = search._built
    monkeypatch.setattr(search, '_built', lambda keys: built.append(len(keys)) or build(keys))
    look_up, queries, keys = NeighbourSearch(), unit(5, 0), unit(200, 1)
    look_up(queries, keys, 3)
    look_up(queries, keys, 3)
    assert built == [200]
    keys.copy_(unit(200, 2))  # as ranks receive them
    assert torch.equal(look_up(queries, keys, 3)[1], nearest_keys(queries, keys, 3)[1])
    look_up(queries, unit(300, 1), 3)
    assert built == [200, 200, 300]


def test_a_model_with_an_index_is_copied_and_saved_without_it(few, faiss):
    neighbours = Neighbours(D, 3, 1, k=4, max_images=300)
    neighbours.store(unit(300, 1))
    neighbours.keep(torch.randn(300, 1, 3, generator=torch.Generator().manual_seed(0)))
    before = set(neighbours.state_dict())
    expected = neighbours(unit(5, 0))
    assert not neighbours.is_searched_exactly
    assert set(neighbours.state_dict()) == before
    for copied in (copy.deepcopy(neighbours), pickle.loads(pickle.dumps(neighbours))):
        assert torch.equal(copied(unit(5, 0)), expected)
