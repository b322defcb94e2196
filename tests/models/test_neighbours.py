"""Oracle: whitening, weights and means again in numpy and float64, image by image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.covariance import empirical_covariance, shrunk_covariance

from cssa_mm.errors import ConfigError
from cssa_mm.models import nearest
from cssa_mm.models.neighbours import Neighbours

N, C, D = 40, 3, 6


def features(count: int, seed: int) -> torch.Tensor:
    """Global features (count, D) in a narrow cone, as those of CLIP, of any length."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(D, D, generator=torch.Generator().manual_seed(99))
    return (torch.randn(count, D, generator=generator) @ mixing + 4) * (1 + torch.rand(count, 1, generator=generator))


def values(count: int, readings: int = 2, seed: int = 5) -> torch.Tensor:
    return torch.randn(count, readings, C, generator=torch.Generator().manual_seed(seed))


def fitted(pooled: torch.Tensor, readings: int = 2, **options) -> Neighbours:
    """Neighbours that store all images (N, D), and random readings of them."""
    found = Neighbours(D, C, readings, **options)
    rows = found.store(pooled)
    found.keep(values(len(pooled), readings)[rows])
    return found


def whitened(queries: torch.Tensor, stored: torch.Tensor, shrinkage: float) -> np.ndarray:
    """Unit vectors, one query after the other; their cosines are those of whitened features."""
    unit = F.normalize(stored.double(), dim=-1).numpy()
    covariance = shrunk_covariance(empirical_covariance(unit), shrinkage)
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    found = (F.normalize(queries.double(), dim=-1).numpy() - unit.mean(0)) @ root
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def reference(queries, stored, read, k, weight, shrinkage) -> np.ndarray:
    """What the neighbours add (B, V, C)."""
    every = whitened(queries, stored, shrinkage) @ whitened(stored, stored, shrinkage).T
    result = np.zeros((len(queries), *read.shape[1:]))
    for number, cosines in enumerate(every):
        others = [j for j in range(len(stored)) if cosines[j] <= 0.999]
        ranked = sorted(others, key=lambda j: -cosines[j])[: k + 1]
        excess = [cosines[j] - cosines[ranked[-1]] for j in ranked]
        for j, part in zip(ranked, excess, strict=True):
            result[number] += weight * part / max(sum(excess), 1e-12) * read[j].double().numpy()
    return result


OPTIONS = [
    dict(k=5, weight=1.0, shrinkage=0.2),
    dict(k=1, weight=2.5, shrinkage=0.2),
    dict(k=12, weight=0.3, shrinkage=0.0),
    dict(k=12, weight=1.0, shrinkage=1.0),
]


@pytest.mark.smoke
@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('is_stored', [False, True])
def test_an_image_gets_the_weighted_mean_of_its_neighbours(options, is_stored):
    """Of images that are stored, none counts as its own neighbour."""
    stored = features(N, 0)
    queries = stored if is_stored else features(15, 1)
    found = fitted(stored, **options)(queries)
    expected = reference(queries, stored, values(N), **options)
    assert found.shape == (len(queries), 2, C)
    assert np.abs(expected).mean() > 0.05
    # Keys and values are stored in half precision.
    np.testing.assert_allclose(found, expected, atol=0.01 * options['weight'])


def test_half_precision_is_the_only_difference_to_the_exact_mean():
    """Read from values that half precision holds, with keys in single precision, nothing but rounding is left."""
    stored, queries = features(N, 0), features(15, 1)
    options = OPTIONS[0]
    found = fitted(stored, **options)
    exact = values(N).half().float()
    found.keys = torch.tensor(whitened(stored, stored, options['shrinkage']), dtype=torch.float32)
    # The root of the covariance's inverse is one of many: cosines do not depend on which.
    np.testing.assert_allclose(found(queries), reference(queries, stored, exact, **options), atol=1e-4)
    found.keep(values(N))
    assert found.values.dtype == torch.float32  # that of the keys


def test_what_is_stored_is_in_half_precision_and_of_the_size_that_is_stated():
    found = fitted(features(N, 0))
    assert found.keys.dtype == found.values.dtype == torch.float16
    assert found.keys.numel() + found.values.numel() == N * (D + 2 * C)
    assert (found.keys.float().norm(dim=1) - 1).abs().max() < 2e-3


def test_other_values_of_the_stored_images_get_the_same_weights():
    stored, queries, other = features(N, 0), features(15, 1), values(N, seed=8)
    found = fitted(stored)
    result = found.mean(found.links(queries), other.half())
    assert not torch.allclose(result, found(queries), atol=0.1)
    found.keep(other)
    assert torch.equal(result, found(queries))


def test_a_copy_of_a_photo_changes_no_neighbour_of_it():
    """Two files of one photo would else speak for themselves."""
    stored = features(N, 0)
    copied = torch.cat([stored, stored[:1]])
    found = Neighbours(D, C, 1, k=4)
    found.store(copied)
    own = torch.zeros(N + 1, 1, C)
    own[[0, N]] = 100.0
    found.keep(own)
    assert torch.equal(found(stored[:1]), torch.zeros(1, 1, C))
    assert found(stored[1:]).abs().max() > 1  # they are neighbours of others


@pytest.mark.parametrize('block', [1, 7, 39])
def test_blocks_of_stored_images_give_what_one_block_gives(block, monkeypatch):
    stored, queries = features(N, 0), features(15, 1)
    found = fitted(stored, k=5)
    expected = found(queries)
    monkeypatch.setattr(nearest, 'BLOCK', block)
    torch.testing.assert_close(found(queries), expected, rtol=0, atol=1e-6)


# -- continuity and independence ------------------------------------------------------------------------------------


def test_a_small_move_of_an_image_moves_the_result_by_little_even_where_neighbours_change_places():
    """With equal weights each change of a neighbour would be a jump of 1 / k."""
    stored = features(N, 0)
    found = fitted(stored, k=4)
    start, end = features(2, 1)
    path = start + torch.linspace(0, 1, 4001)[:, None] * (end - start)
    result = found(path)
    similarity = found._whitened(path) @ found.keys.float().T
    sets = [frozenset(row.tolist()) for row in similarity.topk(4).indices]
    assert sum(one != other for one, other in zip(sets, sets[1:], strict=False)) >= 4
    assert (result[1:] - result[:-1]).abs().max() < 0.05
    assert (result[0] - result[-1]).abs().max() > 0.5


def test_an_image_alone_gets_what_it_gets_in_a_batch():
    found = fitted(features(N, 0))
    queries = features(15, 1)
    for number, query in enumerate(queries):
        torch.testing.assert_close(found(query[None])[0], found(queries)[number], rtol=0, atol=1e-5)


def test_the_length_of_a_feature_says_nothing():
    found = fitted(features(N, 0))
    queries = features(15, 1)
    torch.testing.assert_close(found(7 * queries), found(queries), rtol=0, atol=1e-5)
    torch.testing.assert_close(fitted(3 * features(N, 0))(queries), found(queries), rtol=0, atol=1e-2)


def test_autocast_changes_nothing():
    found, queries = fitted(features(N, 0)), features(15, 1)
    expected = found(queries)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(found(queries), expected)
        assert torch.equal(found.mean(found.links(queries), found.values), expected)


# -- few images -----------------------------------------------------------------------------------------------------


def test_without_stored_images_nothing_is_added():
    fresh = Neighbours(D, C, 2)
    assert not fresh.is_fitted
    assert torch.equal(fresh(features(4, 1)), torch.zeros(4, 2, C))
    logits = torch.randn(4, C)
    assert torch.equal(Neighbours(D, C, 1).smooth(logits, features(4, 1)), logits)


def test_one_stored_image_is_nobody_s_neighbour():
    """Its weight would be what its similarity has above that of the second."""
    found = fitted(features(1, 0))
    assert not found.is_fitted
    assert torch.equal(found(features(4, 1)), torch.zeros(4, 2, C))


@pytest.mark.parametrize('count', [2, 3, 9])
@pytest.mark.parametrize('is_stored', [False, True])
def test_fewer_stored_images_than_k_are_all_but_the_last_used(count, is_stored):
    stored = features(count, 0)
    found = fitted(stored, k=32)
    assert found.is_fitted
    queries = stored if is_stored else features(4, 1)
    # Of a single other image, none is more like it than the rest.
    expected = reference(queries, stored, values(count), k=count - 1, weight=0.5, shrinkage=0.2)
    np.testing.assert_allclose(found(queries), expected, atol=0.02)


def test_images_that_are_all_one_photo_add_nothing_but_finite_numbers():
    found = fitted(features(1, 0).repeat(12, 1), k=4)
    for queries in (features(4, 1), features(1, 0)):
        assert torch.isfinite(found(queries)).all()


# -- what is stored -------------------------------------------------------------------------------------------------


def test_of_more_images_a_subset_is_stored_and_all_whiten():
    pooled = features(N, 0)
    found = Neighbours(D, C, 1, max_images=10)
    rows = found.store(pooled, seed=3)
    assert len(rows) == len(found.keys) == len(found.values) == 10
    everything = Neighbours(D, C, 1)
    assert everything.store(pooled).tolist() == list(range(N))
    assert torch.equal(found.whitening, everything.whitening)
    assert torch.equal(found.centre, everything.centre)
    torch.testing.assert_close(found.keys, everything.keys[rows])
    again = Neighbours(D, C, 1, max_images=10)
    assert torch.equal(again.store(pooled, seed=3), rows)
    assert not torch.equal(again.store(pooled, seed=4), rows)


@pytest.mark.parametrize('other', [0, 7, N])
def test_the_state_goes_into_a_model_that_has_stored_another_number(other):
    found, queries = fitted(features(N, 0)), features(15, 1)
    loaded = Neighbours(D, C, 2)
    if other:
        loaded = fitted(features(other, 8))
    loaded.load_state_dict(found.state_dict())
    assert torch.equal(loaded(queries), found(queries))
    assert loaded.is_fitted


def test_an_empty_state_empties_a_model():
    loaded = fitted(features(N, 0))
    loaded.load_state_dict(Neighbours(D, C, 2).state_dict())
    assert not loaded.is_fitted
    assert torch.equal(loaded(features(4, 1)), torch.zeros(4, 2, C))


# -- without evidence -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('max_images', [N, 12])
def test_logits_of_a_class_keep_mean_and_deviation(max_images):
    pooled = features(N, 0)
    logits = torch.tensor([3.0, 0.2, 1.0]) * values(N, 1)[:, 0] + torch.tensor([-4.0, 2.0, 0.0])
    found = Neighbours(D, C, 1, max_images=max_images)
    rows = found.store(pooled)
    found.fit_logits(logits, pooled, rows)
    smooth = found.smooth(logits, pooled)
    torch.testing.assert_close(smooth.std(0), logits.std(0), rtol=1e-3, atol=1e-3)
    around = found(pooled)[:, 0]
    expected = logits.mean(0) + (logits - logits.mean(0) + around) * logits.std(0) / (logits + around).std(0)
    torch.testing.assert_close(smooth, expected, rtol=1e-4, atol=1e-4)
    assert (smooth - logits).abs().max() > 0.1


def test_a_weight_of_zero_changes_no_logit():
    pooled, logits = features(N, 0), values(N, 1)[:, 0]
    found = Neighbours(D, C, 1, weight=0.0)
    found.fit_logits(logits, pooled, found.store(pooled))
    torch.testing.assert_close(found.smooth(logits, pooled), logits)


# -- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('option', 'value', 'expected'),
    [
        ('k', 0, 'a whole number from 1'),
        ('k', 2.5, 'a whole number from 1'),
        ('k', True, 'a whole number from 1'),
        ('max_images', 1, 'a whole number from 2'),
        ('weight', -1.0, 'a number from 0 to 100'),
        ('weight', float('nan'), 'a number from 0 to 100'),
        ('shrinkage', 1.5, 'a number from 0 to 1'),
    ],
)
def test_values_outside_their_range_are_named_in_one_line(option, value, expected):
    with pytest.raises(ConfigError) as error:
        Neighbours(D, C, 1, **{option: value})
    assert '\n' not in str(error.value)
    assert str(error.value).startswith(f'model.neighbours.{option}: found {value}, expected {expected}')
