"""Oracles: numpy, scikit-learn's covariance, and means taken again without the image that is left out."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.covariance import empirical_covariance, shrunk_covariance

from cssa_mm.models.discriminant import Batch, ImageStream, Moments, discriminate, positive_means, selected_sum
from cssa_mm.models.label_features import LabelFeatures, LocalFeatures
from tests.models.conftest import given_features

N, C, D = 23, 4, 6


@pytest.fixture
def features() -> torch.Tensor:
    """(N, C, D), far from the origin."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(D, D, generator=generator)
    return torch.randn(N, C, D, generator=generator) @ mixing + 5


@pytest.fixture
def positive() -> torch.Tensor:
    """bool (N, C): several images of the classes 0 and 1, one of class 2, none of class 3."""
    positive = torch.rand(N, C, generator=torch.Generator().manual_seed(1)) < 0.3
    positive[:, 2:] = False
    positive[3, 2] = True
    return positive


def stream(features: torch.Tensor, batch_size: int = 4) -> ImageStream:
    def read(similarities: bool) -> Iterator[tuple]:
        for batch in features.split(batch_size):
            yield given_features(batch), (batch[..., 0], batch[..., 1]) if similarities else None

    return ImageStream(read, len(features))


def moments_of(features: torch.Tensor, positive: torch.Tensor) -> Moments:
    moments = Moments(positive, D)
    for batch in stream(features):
        moments.add(batch)
    return moments


def test_a_stream_gives_every_image_once_in_each_pass(features):
    images = stream(features)
    for similarities in (True, False):
        batches = list(images.batches(similarities))
        assert [batch.rows for batch in batches] == [slice(i, min(i + 4, N)) for i in range(0, N, 4)]
        assert torch.equal(torch.cat([batch.features.whole() for batch in batches]), features)
        if similarities:
            for part, values in enumerate((features[..., 0], features[..., 1])):
                assert torch.equal(torch.cat([batch.similarities[part] for batch in batches]), values)
    assert all(batch.similarities is None for batch in images)


@pytest.mark.parametrize('expected', [N - 3, N + 1])
def test_a_pass_with_too_few_or_too_many_images_is_refused(features, expected):
    images = ImageStream(stream(features).read, expected)
    with pytest.raises(ValueError, match=f'found {N} images in a pass, expected {expected}'):
        list(images)


@pytest.mark.parametrize('shrinkage', [0.0, 0.05, 1.0])
@pytest.mark.parametrize('is_taught', [True, False])
def test_the_moments_are_those_of_all_images_at_once(features, positive, shrinkage, is_taught):
    """Of the classes with positives alone, but if no class has any, of all."""
    positive &= is_taught
    moments = moments_of(features, positive)
    wide = features.double().numpy()
    centred = wide - wide.mean(0)
    np.testing.assert_allclose(moments.centre, wide.mean(0), rtol=1e-12)
    sums = [sum((centred[i, c] for i in range(N) if positive[i, c]), np.zeros(D)) for c in range(C)]
    np.testing.assert_allclose(moments.positive_sum, sums, rtol=1e-10, atol=1e-10)
    rows = centred[:, : 3 if is_taught else C].reshape(-1, D)
    covariance = shrunk_covariance(empirical_covariance(rows, assume_centered=True), shrinkage)
    np.testing.assert_allclose(moments.precision(shrinkage), np.linalg.inv(covariance), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize('positions', [2, 9])
@pytest.mark.parametrize('embed_dim', [6, 300])
def test_the_moments_of_pooled_positions_are_those_of_the_features_written_down(positive, positions, embed_dim):
    """With fewer positions than classes, and with more; in one block of columns, and in two."""
    generator = torch.Generator().manual_seed(4)
    local = torch.nn.functional.normalize(torch.randn(N, positions, embed_dim, generator=generator) + 1, dim=-1)
    text = torch.nn.functional.normalize(torch.randn(C, embed_dim, generator=generator), dim=-1)
    moments, whole = Moments(positive, embed_dim), []
    for start in range(0, N, 5):
        features = LabelFeatures(LocalFeatures(local[start : start + 5]), text, 5.0, True)
        moments.add(Batch(slice(start, start + len(features.local.unit)), features, None))
        whole.append(features.whole().double().numpy())
    wide = np.concatenate(whole)
    np.testing.assert_allclose(moments.centre, wide.mean(0), rtol=1e-5, atol=1e-7)
    rows = (wide - wide.mean(0))[:, :3].reshape(-1, embed_dim)
    covariance = shrunk_covariance(empirical_covariance(rows, assume_centered=True), 0.5)
    np.testing.assert_allclose(np.linalg.inv(moments.precision(0.5)), covariance, rtol=1e-4, atol=1e-7)


def test_the_selected_images_of_each_class_are_summed(features, positive):
    centre = features.double().mean(0)
    expected = [sum((features[i, c] - centre[c] for i in range(N) if positive[i, c]), torch.zeros(D)) for c in range(C)]
    found = selected_sum(stream(features), centre, positive)
    torch.testing.assert_close(found, torch.stack(expected).to(found), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('prior_count', [1.0, 2.5])
def test_the_best_scored_unlabelled_images_join_each_class_mean_with_their_count(features, positive, prior_count):
    labelled = 11
    positive[labelled:] = False
    logits = torch.randn(N, C, generator=torch.Generator().manual_seed(3))
    logits[:labelled] += 100  # the best-scored images of all, but labelled
    shares = torch.tensor([0.1, 0.375, 0.001, 0.9])
    moments = moments_of(features, positive)
    unlabelled = torch.arange(N) >= labelled
    mean, count = positive_means(stream(features), moments, unlabelled, (prior_count, shares, logits))
    mean += moments.centre
    for c, number in enumerate([1, 4, 1, 11]):  # round(.375 x 12): the even of 4 and 5; at least one image
        own = [features[i, c].double() for i in range(labelled) if positive[i, c]]
        ranked = sorted(range(labelled, N), key=lambda i: float(-logits[i, c]))
        prior = sum(features[i, c].double() for i in ranked[:number]) / number
        expected = (sum(own) + prior_count * prior) / (len(own) + prior_count)
        torch.testing.assert_close(mean[c], expected, rtol=1e-5, atol=1e-6)
        assert float(count[c]) == len(own) + prior_count
        assert bool(own) is (c < 3)  # the last class has the prior alone


def test_without_a_prior_a_class_mean_is_that_of_its_labelled_positives(features, positive):
    moments = moments_of(features, positive)
    mean, count = positive_means(stream(features), moments, torch.arange(N) >= 11, None)
    assert torch.equal(count, positive.sum(0))
    for c in range(3):
        expected = features[positive[:, c], c].double().mean(0) - moments.centre[c]
        torch.testing.assert_close(mean[c], expected, rtol=1e-6, atol=1e-8)
    assert torch.equal(mean[3], torch.zeros(D).double())


def test_a_positive_is_left_out_of_its_own_mean(features, positive):
    """What speaks for the only positive of a class is nothing then."""
    moments, count = moments_of(features, positive), positive.sum(0)
    mean = moments.positive_sum / count.clamp(min=1)[:, None]
    inverse = moments.precision(0.05)
    evidence, held_out, scale = discriminate(stream(features), moments.centre, mean, count, inverse, positive)
    centred = (features.double() - moments.centre).numpy()
    readings = np.einsum('ncd,cd->nc', centred, mean.numpy() @ inverse.numpy())
    np.testing.assert_allclose(scale[:3], readings.std(0)[:3], rtol=1e-5)
    np.testing.assert_allclose(evidence, readings / scale.numpy(), rtol=1e-5, atol=1e-5)
    for i, c in positive.nonzero().tolist():
        others = [centred[j, c] for j in range(N) if positive[j, c] and j != i]
        without = np.mean(others, axis=0) if others else np.zeros(D)
        expected = centred[i, c] @ inverse.numpy() @ without / float(scale[c])
        assert float(held_out[i, c]) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert torch.equal(held_out[~positive], evidence[~positive])
    assert float(evidence[positive].mean()) > float(held_out[positive].mean()) + 0.1


@pytest.mark.parametrize('prior_count', [0.2, 1.0, 2.5])
def test_what_is_left_of_a_mean_without_its_only_labelled_image_is_the_prior(features, positive, prior_count):
    moments = moments_of(features, positive)
    prior = torch.randn(C, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    count = positive.sum(0) + prior_count
    mean = (moments.positive_sum + prior_count * prior) / count[:, None]
    inverse = moments.precision(0.005)
    _, held_out, scale = discriminate(stream(features), moments.centre, mean, count, inverse, positive)
    expected = (features[3, 2] - moments.centre[2]) @ inverse @ prior[2] / scale[2]
    assert float(held_out[3, 2]) == pytest.approx(float(expected), rel=1e-3)


def test_images_are_left_out_of_means_in_float64_where_few_images_span_many_dimensions():
    """As in the demo: a covariance of 60 images whose inverse has entries of both signs that nearly cancel."""
    generator = torch.Generator().manual_seed(3)
    features = 3 + torch.randn(60, 2, 12, generator=generator) @ torch.randn(12, 96, generator=generator)
    features += 0.01 * torch.randn(features.shape, generator=generator)
    positive = torch.rand(60, 2, generator=generator) < 0.1
    moments, count = Moments(positive, 96), positive.sum(0)
    for batch in stream(features):
        moments.add(batch)
    mean, inverse = moments.positive_sum / count[:, None], moments.precision(1e-5)
    _, held_out, scale = discriminate(stream(features), moments.centre, mean, count, inverse, positive)
    centred = features.double() - moments.centre
    for i, c in positive.nonzero().tolist():
        without = (count[c] * mean[c] - centred[i, c]) / (count[c] - 1)
        expected = centred[i, c] @ inverse @ without / scale[c]
        assert float(held_out[i, c]) == pytest.approx(float(expected), abs=1e-4)
