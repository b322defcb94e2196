"""Oracle: the whole fit again in numpy and float64, image by image, with scikit-learn's covariance.

`tests/models/test_stacking.py` has the oracle of the weights.
"""

import gc
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.covariance import empirical_covariance, shrunk_covariance
from sklearn.linear_model import LogisticRegression

from cssa_mm.errors import ConfigError
from cssa_mm.models.alignment_head import TextFeatures
from cssa_mm.models.evidence import DiscriminantEvidence
from cssa_mm.models.label_features import LabelFeatures, LocalFeatures
from cssa_mm.models.neighbours import Neighbours
from cssa_mm.models.stacking import stack
from tests.models.conftest import LargestTensor, given_features

C, D = 4, 6
LABELLED, UNLABELLED = 14, 30
ALONE = np.zeros((LABELLED + UNLABELLED, LABELLED + UNLABELLED))  # no image has a neighbour


def make_evidence(**options) -> DiscriminantEvidence:
    generator = torch.Generator().manual_seed(9)
    text = TextFeatures(torch.randn(C, D, generator=generator), torch.randn(C, D, generator=generator), None)
    return DiscriminantEvidence(text, **options)


@pytest.fixture
def images() -> SimpleNamespace:
    """14 labelled images, some of whose cells are unknown, and 30 others; no labelled image shows the last class."""
    return draw(seed=0)


def draw(seed: int, num_images: int = LABELLED + UNLABELLED) -> SimpleNamespace:
    rng = np.random.default_rng(seed)
    truth = (rng.random((num_images, C)) < 0.35).astype(np.int64)
    centres = np.random.default_rng(100).normal(size=(C, D))
    mixing = np.random.default_rng(101).normal(size=(D, D))
    features = rng.normal(size=(num_images, C, D)) @ mixing + 1.5 * truth[:, :, None] * centres + 0.4
    noise = rng.normal(size=(2, num_images, C))
    labels = truth.copy()
    labels[:, C - 1] = 0
    labels[rng.random((num_images, C)) < 0.15] = -1
    labels[0] = [1, 0, 1, 0]
    labels[LABELLED:] = -1
    return SimpleNamespace(
        features=torch.tensor(features, dtype=torch.float32),
        similarity=torch.tensor(0.1 * truth + 0.07 * noise[0] + 0.2, dtype=torch.float32),
        anchor=torch.tensor(0.05 * truth + 0.08 * noise[1] + 0.3, dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.int8),
    )


def reader(images: SimpleNamespace, batch_size: int = 5) -> Callable[[bool], Iterator[tuple]]:
    def read(similarities: bool) -> Iterator[tuple]:
        for start in range(0, len(images.features), batch_size):
            rows = slice(start, start + batch_size)
            found = (images.similarity[rows], images.anchor[rows]) if similarities else None
            yield given_features(images.features[rows]), found

    return read


def fit(evidence: DiscriminantEvidence, images: SimpleNamespace, batch_size: int = 5) -> DiscriminantEvidence:
    evidence.fit(reader(images, batch_size), images.labels)
    return evidence


def logits_of(evidence: DiscriminantEvidence, images: SimpleNamespace) -> torch.Tensor:
    return evidence(given_features(images.features), images.similarity, images.anchor)


def changed(images: SimpleNamespace, **fields) -> SimpleNamespace:
    return SimpleNamespace(**(vars(images) | fields))


def reference(
    images,
    anchor,
    prior_count,
    shrinkage,
    prior_floor=2.5,
    unseen_weight=0.25,
    discriminant=True,
    nearness=ALONE,
) -> SimpleNamespace:
    """What `fit` should find, one class and one image after the other; `stages` holds a record for each round.

    `nearness` (n, n) has the weights of the neighbours of each image.
    """
    features, similarity, anchored = (
        np.asarray(values, np.float64) for values in (images.features, images.similarity, images.anchor)
    )
    labels = np.asarray(images.labels)
    count = len(features)
    unlabelled = [i for i in range(count) if (labels[i] == -1).all()]
    rates = np.array([((labels[:, c] == 1).sum() + 0.5) / ((labels[:, c] != -1).sum() + 1) for c in range(C)])
    shares = []
    for c in range(C):
        seen, judged = (labels[:, c] == 1).sum(), (labels[:, c] != -1).sum()
        shares.append(min(max(seen + 0.5, prior_floor), judged + 0.5) / (judged + 1))

    def standardised(values):
        return (values - values.mean(0)) / values.std(0)

    def smoothed(values):
        return values + nearness @ values

    own = smoothed(standardised(anchored))
    base = (1 - anchor) * standardised(similarity) + anchor * own / own.std(0)
    base = base / base.std(0)
    labelled = (labels != -1).any(1)
    centred = features - features.mean(0)
    taught = (labels == 1).any(0)
    covariance = shrunk_covariance(
        empirical_covariance(centred[:, taught].reshape(-1, D), assume_centered=True), shrinkage
    )

    def weights_of(*readings):
        found = stack(torch.tensor(np.stack(readings, -1)[labelled]), torch.tensor(labels[labelled])).tolist()
        return np.array([found[0] * anchor, found[0] * (1 - anchor), *found[1:], 0.0][:3])

    if not discriminant:
        weights = weights_of(base)
        logits = (weights[0] + weights[1]) * base
        return SimpleNamespace(weights=weights, logits=logits, held_out=logits, rates=rates, unlabelled=unlabelled)
    logits, stages = base, []
    for _ in range(2 if prior_count else 1):
        means, directions, held_out = np.zeros((C, D)), np.zeros((C, D)), np.zeros((count, C))
        for c in range(C):
            chosen = [(centred[i, c], 1.0) for i in range(count) if labels[i, c] == 1]
            if prior_count:
                number = max(round(shares[c] * len(unlabelled)), 1)
                best = sorted(unlabelled, key=lambda i: -logits[i, c])[:number]
                chosen += [(centred[i, c], prior_count / number) for i in best]
            means[c] = weighted_mean(chosen)
            directions[c] = np.linalg.solve(covariance, means[c])
            deviation = max((centred[:, c] @ directions[c]).std(), 1e-6)
            directions[c] /= deviation
            for i in range(count):
                held_out[i, c] = centred[i, c] @ directions[c]
                if labels[i, c] == 1:
                    position = [j for j in range(count) if labels[j, c] == 1].index(i)
                    others = chosen[:position] + chosen[position + 1 :]
                    held_out[i, c] = centred[i, c] @ np.linalg.solve(covariance, weighted_mean(others)) / deviation
        spread = np.maximum(smoothed(held_out).std(0), 1e-3)
        held_out, directions = held_out / spread, directions / spread[:, None]
        weights = weights_of(base, smoothed(held_out))
        # A class that no labelled image shows is trusted less, once the weights are known.
        unseen = (labels != 1).all(0)
        directions[unseen] *= unseen_weight
        held_out[:, unseen] *= unseen_weight
        evidence = np.einsum('ncd,cd->nc', centred, directions) + nearness @ held_out
        logits = (weights[0] + weights[1]) * base + weights[2] * evidence
        stages.append(SimpleNamespace(means=means, directions=directions, held_out=held_out, weights=weights))
    return SimpleNamespace(
        weights=weights,
        logits=logits,
        held_out=(weights[0] + weights[1]) * base + weights[2] * smoothed(held_out),
        rates=rates,
        unlabelled=unlabelled,
        stages=stages,
        covariance=covariance,
    )


def weighted_mean(chosen: list) -> np.ndarray:
    total = sum(weight for _, weight in chosen)
    return sum(weight * vector for vector, weight in chosen) / total if total else np.zeros(D)


OPTIONS = [
    dict(anchor=0.5, prior_count=2.0, shrinkage=0.005),
    dict(anchor=0.0, prior_count=0.0, shrinkage=0.01),
    dict(anchor=1.0, prior_count=5.0, shrinkage=0.3),
    dict(anchor=0.25, prior_count=1.0, shrinkage=0.0),
    dict(anchor=0.5, prior_count=2.0, shrinkage=0.05, prior_floor=0.0),
    dict(anchor=0.5, prior_count=2.0, shrinkage=0.05, prior_floor=6.2),
    dict(anchor=0.5, prior_count=2.0, shrinkage=0.05, prior_floor=100.0),
    dict(anchor=0.5, prior_count=2.0, shrinkage=0.05, unseen_weight=0.0),
    dict(anchor=0.5, prior_count=2.0, shrinkage=0.05, unseen_weight=1.0),
    dict(discriminant=False, anchor=0.3, prior_count=2.0, shrinkage=0.0),
]


@pytest.mark.smoke
@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('seed', [0, 1, 2])
def test_a_fit_equals_the_same_one_image_by_image(seed, options):
    images = draw(seed)
    evidence = fit(make_evidence(**options), images)
    expected = reference(images, **options)
    np.testing.assert_allclose(evidence.weights, expected.weights, rtol=5e-3, atol=5e-4)
    found = logits_of(evidence, images)
    np.testing.assert_allclose(found - evidence.bias, expected.logits, rtol=5e-3, atol=5e-3)
    if options.get('discriminant', True):
        np.testing.assert_allclose(evidence.direction, expected.stages[-1].directions, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('options', OPTIONS)
@pytest.mark.parametrize('batch_size', [1, 7, LABELLED + UNLABELLED])
def test_batches_of_any_size_give_the_fit_to_all_images_at_once(batch_size, options, monkeypatch):
    """With the weights solved exactly, nothing but rounding is left between the oracle and the fit."""
    exact = partial(LogisticRegression, tol=1e-12)
    monkeypatch.setattr('sklearn.linear_model.LogisticRegression', exact)
    images = draw(seed=3)
    evidence = fit(make_evidence(**options), images, batch_size)
    found = logits_of(evidence, images) - evidence.bias
    np.testing.assert_allclose(found, reference(images, **options).logits, rtol=0, atol=2e-5)


def test_an_offset_that_all_images_share_costs_no_digits(images):
    """Features are unit vectors in a narrow cone: what sets them apart is small beside what they share."""
    exact = (images.features * 1024).round() / 1024  # so that the shift is exact in float32
    shift = 256 * torch.randn(C, D, generator=torch.Generator().manual_seed(2)).round()
    found, expected = (
        logits_of(fit(make_evidence(), some), some)
        for some in (changed(images, features=exact + shift), changed(images, features=exact))
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


# -- the discriminant --------------------------------------------------------------------------------------------


def test_the_discriminant_is_the_shrunk_covariance_s_answer_to_the_labelled_means(images):
    """Up to its scale: over the training images, left out of their own means, it has deviation 1."""
    evidence = make_evidence(anchor=0.0, prior_count=0.0, shrinkage=0.1)
    held_out = evidence.fit(reader(images), images.labels).components[2]
    features = images.features.double().numpy()
    centred = features - features.mean(0)
    # Of the classes that a label shows: all but the last.
    covariance = shrunk_covariance(empirical_covariance(centred[:, :-1].reshape(-1, D), assume_centered=True), 0.1)
    for c in range(C - 1):
        mean = centred[images.labels.numpy()[:, c] == 1, c].mean(0)
        expected = np.linalg.solve(covariance, mean)
        found = evidence.direction[c].double().numpy()
        assert found @ expected == pytest.approx(np.linalg.norm(found) * np.linalg.norm(expected), rel=1e-6)
        reading = features[:, c] @ found - float(evidence.offset[c])
        assert reading.mean() == pytest.approx(0, abs=1e-5)
        assert float(held_out[:, c].std(correction=0)) == pytest.approx(1, rel=1e-5)
        rows = images.labels.numpy()[:, c] != 1
        np.testing.assert_allclose(held_out[rows, c], reading[rows], atol=1e-5)


def test_a_class_that_no_label_shows_has_no_part_in_the_covariance(images):
    wild = images.features.clone()
    wild[:, C - 1] = 50 * torch.randn(len(wild), D, generator=torch.Generator().manual_seed(1))
    options = dict(anchor=0.0, prior_count=0.0)
    tame = fit(make_evidence(**options), images)
    found = fit(make_evidence(**options), changed(images, features=wild))
    torch.testing.assert_close(found.direction[:-1], tame.direction[:-1])


# -- the prior of the unlabelled images ----------------------------------------------------------------------------


def test_without_a_prior_a_class_without_labelled_positives_has_no_discriminant(images):
    bare = fit(make_evidence(prior_count=0.0), images)
    assert torch.equal(bare.direction[-1], torch.zeros(D))
    assert bare.direction[:-1].norm(dim=1).min() > 0.1
    assert fit(make_evidence(), images).direction[-1].norm() > 0.1


def test_without_a_prior_the_unlabelled_images_give_their_moments_alone(images):
    """Mirrored at their mean, they have the same moments, but another looks like a positive."""
    features = images.features.clone()
    features[LABELLED:] = 2 * features[LABELLED:].mean(0) - features[LABELLED:]
    mirrored = changed(images, features=features)
    for prior_count, is_same in ((0.0, True), (2.0, False)):
        first, second = (fit(make_evidence(prior_count=prior_count), some) for some in (images, mirrored))
        assert torch.allclose(first.direction, second.direction, rtol=1e-3, atol=1e-4) is is_same
        assert torch.allclose(first.weights, second.weights, rtol=1e-3, atol=1e-3) is is_same


# -- labels --------------------------------------------------------------------------------------------------------


def test_an_unknown_cell_of_a_labelled_image_is_neither_positive_nor_negative(images):
    labels = images.labels.clone()
    labels[:LABELLED] = labels[:LABELLED].clamp(min=0)
    labels[1] = torch.tensor([0, 1, 0, 0])
    fits = {}
    for value in (1, 0, -1):
        labels[1, 0] = value
        fits[value] = fit(make_evidence(prior_count=0.0), changed(images, labels=labels.clone()))
    # Unlike a positive it does not move the mean, unlike a negative it does not count in the rate.
    torch.testing.assert_close(fits[-1].direction, fits[0].direction)
    assert not torch.allclose(fits[-1].direction[0], fits[1].direction[0], rtol=1e-2)
    means = {value: torch.sigmoid(logits_of(fits[value], images))[LABELLED:, 0].mean() for value in fits}
    positives = int((labels[:LABELLED, 0] == 1).sum())
    assert float(means[-1]) == pytest.approx((positives + 0.5) / LABELLED, abs=1e-4)
    assert float(means[0]) == pytest.approx((positives + 0.5) / (LABELLED + 1), abs=1e-4)
    # Nor is it among the cells that the weights are fitted to.
    assert not torch.equal(fits[-1].weights, fits[0].weights)


def test_the_mean_score_of_the_unlabelled_images_is_the_rate_of_the_class(images):
    evidence = fit(make_evidence(), images)
    labels = images.labels[:LABELLED].numpy()
    rates = [((column == 1).sum() + 0.5) / ((column >= 0).sum() + 1) for column in labels.T]
    scores = torch.sigmoid(logits_of(evidence, images))
    np.testing.assert_allclose(scores[LABELLED:].mean(0), rates, atol=1e-4)
    assert (scores[:LABELLED].mean(0) - torch.tensor(rates)).abs().max() > 1e-2


def test_without_unlabelled_images_all_images_have_the_rate_in_the_mean(images):
    labels = torch.where(images.labels == 1, 1, 0).to(torch.int8)
    evidence = make_evidence()
    # Of what they read without their own labels: what a new image will read.
    components = evidence.fit(reader(images), labels).components
    rates = ((labels == 1).sum(0) + 0.5) / (len(labels) + 1)
    torch.testing.assert_close(torch.sigmoid(evidence.combine(components)).mean(0), rates, atol=1e-4, rtol=0)


# -- weights -------------------------------------------------------------------------------------------------------


def test_nothing_of_an_earlier_fit_is_left(images):
    evidence = fit(make_evidence(), images)
    weights, later = evidence.weights.clone(), draw(seed=5)
    fit(evidence, later)
    assert not torch.allclose(evidence.weights, weights, rtol=1e-2)
    found, expected = evidence.state_dict(), fit(make_evidence(), later).state_dict()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


def test_the_whole_fit_goes_into_the_state(images):
    evidence = fit(make_evidence(), images)
    loaded = make_evidence()
    assert not loaded.is_fitted
    loaded.load_state_dict(evidence.state_dict())
    assert loaded.is_fitted
    assert torch.equal(logits_of(loaded, images), logits_of(evidence, images))


def test_a_reading_that_speaks_against_the_labels_gets_the_lowest_weight(images):
    noise = torch.randn(images.features.shape, generator=torch.Generator().manual_seed(1))
    # Left out of its own mean, a positive looks like anything but the class.
    useless = fit(make_evidence(prior_count=0.0), changed(images, features=noise))
    assert float(useless.weights[2]) == 0
    assert float(useless.weights[:2].min()) > 0
    upside_down = fit(make_evidence(), changed(images, similarity=-images.similarity, anchor=-images.anchor))
    assert float(upside_down.weights[:2].sum()) == pytest.approx(0.1)  # all that unlabelled classes may have
    assert float(upside_down.weights[2]) > 0


def test_anchor_and_prompts_share_the_weight_of_the_base_as_the_option_says(images):
    evidence = fit(make_evidence(anchor=0.25), images)
    assert float(evidence.weights[1]) == pytest.approx(3 * float(evidence.weights[0]), rel=1e-6)


def test_without_any_positive_the_similarity_speaks_alone(images):
    labels = torch.where(images.labels == 1, 0, images.labels)
    evidence = fit(make_evidence(), changed(images, labels=labels))
    assert evidence.weights.tolist() == [0.5, 0.5, 0.0]
    assert torch.isfinite(logits_of(evidence, images)).all()


# -- components and neighbours -------------------------------------------------------------------------------------


def nearness_of(seed: int, count: int = LABELLED + UNLABELLED) -> np.ndarray:
    """Weights (n, n) of five neighbours of each image, none of which is the image itself."""
    rng = np.random.default_rng(seed)
    nearness = np.zeros((count, count))
    for i in range(count):
        others = rng.choice([j for j in range(count) if j != i], 5, replace=False)
        nearness[i, others] = rng.dirichlet(np.ones(5))
    return nearness


def nearby_of(nearness: np.ndarray):
    return lambda reading: torch.tensor(nearness, dtype=torch.float32) @ reading


@pytest.mark.parametrize('options', OPTIONS)
def test_a_fit_with_neighbours_equals_the_same_one_image_by_image(options):
    images, nearness = draw(seed=1), nearness_of(1)
    evidence = make_evidence(**options)
    found = evidence.fit(reader(images), images.labels, nearby_of(nearness))
    expected = reference(images, **options, nearness=nearness)
    np.testing.assert_allclose(evidence.weights, expected.weights, rtol=5e-3, atol=5e-4)
    nearby = torch.tensor(np.einsum('ij,jvc->ivc', nearness, found.values.double().numpy()), dtype=torch.float32)
    logits = evidence(given_features(images.features), images.similarity, images.anchor, nearby) - evidence.bias
    np.testing.assert_allclose(logits, expected.logits, rtol=5e-3, atol=5e-3)
    np.testing.assert_allclose(
        evidence.combine(found.components) - evidence.bias, expected.held_out, rtol=5e-3, atol=5e-3
    )
    for reading in found.components[[0, 2] if options.get('discriminant', True) else [0]]:
        torch.testing.assert_close(reading.std(0, correction=0)[:-1], torch.ones(C - 1), rtol=1e-3, atol=1e-3)


def test_the_tuned_prompts_are_not_smoothed(images):
    found, plain = (
        make_evidence().fit(reader(images), images.labels, nearby).components
        for nearby in (nearby_of(nearness_of(0)), None)
    )
    assert torch.equal(found[1], plain[1])
    assert not torch.allclose(found[0], plain[0], atol=0.1)


@pytest.mark.parametrize('has_neighbours', [False, True])
def test_the_logits_are_the_components_combined(images, has_neighbours):
    evidence = fit(make_evidence(), images)
    readings = given_features(images.features), images.similarity, images.anchor
    nearby = torch.randn(len(images.labels), 2, C) if has_neighbours else None
    components = evidence.components(*readings, nearby)
    assert components.shape == (3, len(images.labels), C)
    assert torch.equal(evidence.combine(components), evidence(*readings, nearby))
    plain = evidence.components(*readings)
    if has_neighbours:
        torch.testing.assert_close(components[[0, 2]] - plain[[0, 2]], nearby.transpose(0, 1), rtol=1e-4, atol=1e-5)
    assert torch.equal(components[1], plain[1])


@pytest.mark.parametrize('max_images', [100, 20])
def test_what_a_fit_returns_is_what_the_model_reads_in_the_same_images(images, max_images):
    """But for labelled positives, which the model has seen; stored images don't count among their own neighbours."""
    pooled = torch.randn(len(images.labels), D, generator=torch.Generator().manual_seed(3))
    neighbours = Neighbours(D, C, 2, k=6, max_images=max_images)
    rows = neighbours.store(pooled)
    evidence = make_evidence()
    found = evidence.fit(
        reader(images),
        images.labels,
        lambda reading: neighbours.mean(neighbours.links(pooled), reading[rows][:, None])[:, 0],
    )
    neighbours.keep(found.values[rows])
    logits = evidence(given_features(images.features), images.similarity, images.anchor, neighbours(pooled))
    expected = evidence.combine(found.components)
    is_positive = images.labels == 1
    # Stored values are rounded to half precision.
    torch.testing.assert_close(logits[~is_positive], expected[~is_positive], rtol=2e-3, atol=4e-3)
    assert (logits[is_positive] - expected[is_positive]).abs().max() > 0.05
    rates = ((images.labels == 1).sum(0) + 0.5) / ((images.labels >= 0).sum(0) + 1)
    torch.testing.assert_close(torch.sigmoid(logits)[LABELLED:].mean(0), rates, rtol=0, atol=1e-3)


# -- weights by readings that did not see the labels ---------------------------------------------------------------


def held_out_readings(useful: tuple[float, float, float], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Components (3, n, C) and labels (n, C) of 300 images, 200 of them labelled, that follow the useful readings."""
    generator = torch.Generator().manual_seed(seed)
    components = torch.randn(3, 300, C, generator=generator)
    logits = torch.einsum('jnc,j->nc', components, torch.tensor(useful)) - 1
    labels = (torch.rand(300, C, generator=generator) < torch.sigmoid(logits)).long()
    labels[200:] = -1
    return components, labels


@pytest.mark.parametrize(('anchor', 'used'), [(0.0, [1, 2]), (0.5, [0, 1, 2]), (1.0, [0, 2])])
def test_weights_are_those_of_stacking_the_readings_that_the_anchor_s_share_allows(images, anchor, used):
    evidence = fit(make_evidence(anchor=anchor), images)
    components, labels = held_out_readings((1.5, 1.0, 0.7))
    evidence.stack_held_out(components, labels)
    expected = torch.zeros(3)
    expected[used] = stack(components[used].permute(1, 2, 0)[:200], labels[:200], is_checked=True)
    assert torch.equal(evidence.weights, expected)
    assert (expected[used] > 0.3).all()
    # Mean scores of unlabelled images are the rates of the labelled ones.
    plain = torch.einsum('jnc,j->nc', components, expected)
    rates = ((labels == 1).sum(0) + 0.5) / 201
    torch.testing.assert_close(evidence.combine(components), plain + evidence.bias, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.sigmoid(plain + evidence.bias)[200:].mean(0), rates, atol=1e-4, rtol=0)


def test_prompts_that_learned_nothing_lose_their_weight(images):
    evidence = fit(make_evidence(), images)
    assert float(evidence.weights[1]) > 0
    components, labels = held_out_readings((1.5, -0.5, 0.7))
    evidence.stack_held_out(components, labels)
    assert float(evidence.weights[1]) == 0
    assert float(evidence.weights[[0, 2]].min()) > 0.3


def test_without_a_discriminant_anchor_and_prompts_are_stacked(images):
    evidence = fit(make_evidence(discriminant=False), images)
    components, labels = held_out_readings((1.5, 1.0, 0.0))
    components[2] = 0
    evidence.stack_held_out(components, labels)
    assert float(evidence.weights[2]) == 0
    np.testing.assert_allclose(evidence.weights[:2], [1.5, 1.0], atol=0.4)


def test_weights_fitted_to_no_label_are_those_of_the_first_reading(images):
    evidence = fit(make_evidence(), images)
    components, labels = held_out_readings((1.5, 1.0, 0.7))
    evidence.stack_held_out(components, torch.full_like(labels, -1))
    assert evidence.weights.tolist() == [1.0, 0.0, 0.0]
    assert torch.isfinite(evidence.combine(components)).all()


def test_the_next_fit_forgets_the_weights(images):
    evidence = fit(make_evidence(), images)
    expected = {name: value.clone() for name, value in evidence.state_dict().items()}
    evidence.stack_held_out(*held_out_readings((1.5, 1.0, 0.7)))
    assert not torch.equal(evidence.weights, expected['weights'])
    fit(evidence, images)
    assert [name for name, value in evidence.state_dict().items() if not torch.equal(value, expected[name])] == []


# -- one batch at a time -------------------------------------------------------------------------------------------


def bytes_held() -> int:
    tensors = [thing for thing in gc.get_objects() if type(thing) is torch.Tensor]
    return sum({one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}.values())


def test_neither_one_tensor_nor_what_is_held_comes_near_the_size_of_all_features():
    num_images, num_classes, embed_dim, batch_size, positions = 512, 200, 128, 8, 6
    labels = torch.full((num_images, num_classes), -1)
    labels[:64] = torch.rand(64, num_classes, generator=torch.Generator().manual_seed(0)) < 0.1
    held, passes = [], []
    text = torch.nn.functional.normalize(torch.randn(num_classes, embed_dim), dim=-1)

    def read(similarities):
        for start in range(0, num_images, batch_size):
            if start == num_images - batch_size:
                held.append(bytes_held())
            local = torch.randn(batch_size, positions, embed_dim, generator=torch.Generator().manual_seed(start))
            features = LabelFeatures(LocalFeatures(torch.nn.functional.normalize(local, dim=-1)), text, 5.0, True)
            yield features, (features.along(text), features.along(text + 1)) if similarities else None
        passes.append(start)

    evidence = DiscriminantEvidence(TextFeatures(*torch.zeros(2, num_classes, embed_dim), None))
    before = bytes_held()
    with LargestTensor() as largest:
        evidence.fit(read, labels)
    assert evidence.is_fitted
    assert len(passes) == len(held) == 5
    # The three readings of all images and classes: of no batch, the features.
    assert largest.numel == 3 * num_images * num_classes
    assert batch_size * num_classes * embed_dim > 0.6 * largest.numel
    assert max(held) - before < 4 * num_images * num_classes * embed_dim / 5


def test_similarities_are_asked_for_in_the_first_pass_alone(images):
    read, asked = reader(images), []
    make_evidence().fit(lambda similarities: asked.append(similarities) or read(similarities), images.labels)
    assert asked == [True, False, False, False, False]


@pytest.mark.parametrize(
    ('options', 'is_labelled', 'expected'),
    [({}, False, 5), ({}, True, 2), (dict(prior_count=0.0), False, 2), (dict(discriminant=False), False, 1)],
)
def test_no_pass_is_more_than_needed(images, options, is_labelled, expected):
    labels = images.labels.clamp(min=0) if is_labelled else images.labels
    read, passes = reader(images), []
    make_evidence(**options).fit(lambda similarities: passes.append(1) or read(similarities), labels)
    assert len(passes) == expected


def test_batches_that_can_be_read_only_once_are_refused(images):
    batches = reader(images)(True)
    with pytest.raises(ValueError, match='found 0 images in a pass, expected 44'):
        make_evidence().fit(lambda similarities: batches, images.labels)


# -- half precision ------------------------------------------------------------------------------------------------


def test_autocast_changes_neither_fit_nor_logits(images):
    read, modes = reader(images), []
    expected = fit(make_evidence(), images)
    found = make_evidence()
    with torch.autocast('cpu', torch.bfloat16):
        found.fit(lambda asked: modes.append(torch.is_autocast_enabled('cpu')) or read(asked), images.labels)
        logits = logits_of(expected, images)
    assert not any(modes)
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    assert logits.dtype == torch.float32
    assert torch.equal(logits, logits_of(expected, images))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_readings_in_half_precision_are_computed_with_in_single(images, dtype):
    names = ('similarity', 'anchor')
    half = changed(images, **{name: getattr(images, name).to(dtype) for name in names})
    single = changed(images, **{name: getattr(half, name).float() for name in names})
    found, expected = fit(make_evidence(), half), fit(make_evidence(), single)
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    assert torch.equal(logits_of(found, half), logits_of(expected, single))


# -- readings ------------------------------------------------------------------------------------------------------


def test_a_scale_and_a_shift_of_the_similarities_of_a_class_change_nothing(images):
    scale, shift = torch.tensor([0.1, 3.0, 20.0, 1.0]), torch.tensor([5.0, -2.0, 0.0, 0.3])
    moved = changed(images, similarity=images.similarity * scale + shift, anchor=images.anchor / scale - shift)
    found, expected = (logits_of(fit(make_evidence(), some), some) for some in (moved, images))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize(('anchor', 'unread'), [(1.0, 'similarity'), (0.0, 'anchor')])
def test_the_anchor_s_share_decides_which_similarities_are_read(images, anchor, unread):
    other = changed(images, **{unread: torch.rand(images.similarity.shape, generator=torch.Generator().manual_seed(4))})
    for share, is_same in ((anchor, True), (0.5, False)):
        found, expected = (logits_of(fit(make_evidence(anchor=share), some), some) for some in (other, images))
        assert torch.equal(found, expected) is is_same


def test_what_is_learned_is_a_buffer_and_the_anchor_stays(images):
    evidence = make_evidence()
    before = evidence.anchor_text()
    fit(evidence, images)
    assert list(evidence.parameters()) == []
    assert torch.equal(evidence.anchor_text().semantic, before.semantic)
    assert torch.equal(evidence.anchor_text().positive, before.positive)
    assert evidence.anchor_text().negative is None


@pytest.mark.parametrize(
    ('option', 'value', 'expected'),
    [
        ('anchor', -0.1, 'a number from 0 to 1'),
        ('anchor', 1.5, 'a number from 0 to 1'),
        ('shrinkage', 2.0, 'a number from 0 to 1'),
        ('shrinkage', float('nan'), 'a number from 0 to 1'),
        ('prior_count', -1.0, 'a number from 0 to 1000000'),
    ],
)
def test_values_outside_their_range_are_named_in_one_line(option, value, expected):
    with pytest.raises(ConfigError) as error:
        make_evidence(**{option: value})
    assert str(error.value) == f'model.evidence.{option}: found {value}, expected {expected}'
