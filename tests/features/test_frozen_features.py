"""Features that are encoded once. Oracle: the tower on images that are read here."""

import numpy as np
import pytest
import torch

from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.datasets.view import View
from cssa_mm.features.kept_items import without_images

VIEW = View(size=None)
CUTOUT = dict(type='Cutout', shape=8, prob=1.0)
GIB_PER_VIEW = (5 * 16 + 16) * 4 / 2**30  # tiny-rn: four positions and the global token, 16 numbers each


def assert_close(found, expected) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# -- what is kept --------------------------------------------------------------------------------------------------


def test_the_plain_view_and_its_mirror_image_are_kept_where_training_draws_nothing_else(features, dataset, reference):
    frozen = features()
    frozen.fill_for_training()
    views = [(image_id, flip) for flip in (False, True) for image_id in dataset.image_ids]
    assert len(frozen.cache) == 80
    assert frozen.cache.holds(views)
    assert frozen.cache.serves_training
    for flip in (False, True):
        found = frozen.cache.lookup([(dataset.image_ids[i], flip) for i in (3, 30)], torch.device('cpu'))
        assert_close(found, reference([3, 30], mirrored=flip))


def test_from_then_on_training_reads_no_image(features, dataset):
    features().fill_for_training()
    dataset.img_paths = [f'{path}.gone' for path in dataset.img_paths]
    item = dataset[SampleKey(3, 1)]
    assert item['inputs'].shape == (3, 2, 2)
    assert item['data_samples'].image_id == dataset.image_ids[3]


def test_where_training_draws_more_the_unlabelled_images_are_kept_for_the_scores(features, dataset, strong):
    strong()
    pipeline, frozen = dataset.pipeline, features()
    frozen.fill_for_training()
    assert len(frozen.cache) == 24
    assert frozen.cache.holds([(dataset.image_ids[index], False) for index in dataset.unlabelled_indices])
    assert not frozen.cache.serves_training
    assert dataset.pipeline is pipeline


def test_features_that_nobody_would_score_are_not_kept(features, strong):
    strong()
    frozen = features()
    frozen.fill_for_training(is_scored=False)
    assert frozen.cache is None


@pytest.mark.parametrize(('views', 'kept'), [(0, None), (1.9, None), (2, 2), (39, 38), (79.5, 78), (80, 80)])
def test_what_is_kept_fits_into_the_memory(features, dataset, views, kept):
    frozen = features(gib=views * GIB_PER_VIEW)
    frozen.fill_for_training()
    assert (frozen.cache and len(frozen.cache)) == kept
    if kept and kept < 80:
        assert not frozen.cache.serves_training
        order = [*dataset.labelled_indices, *dataset.unlabelled_indices]
        assert frozen.cache.training_ids == {dataset.image_ids[index] for index in order[: kept // 2]}


def test_fill_keeps_the_plain_view_of_every_image_whatever_training_draws(features, dataset):
    frozen = features(gib=0)
    frozen.fill()
    assert len(frozen.cache) == 40
    assert frozen.cache.holds([(image_id, False) for image_id in dataset.image_ids])
    assert not frozen.cache.serves_training


# -- what is given -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('is_kept', [True, False])
def test_batches_are_the_plain_views_in_the_order_that_is_asked_for(features, encoded, is_kept, reference):
    frozen, indices = features(batch_size=2), np.array([30, 3, 7])
    if is_kept:
        frozen.fill()
    encoded.clear()
    batches = list(frozen.batches(indices, 'Some'))
    assert encoded == ([] if is_kept else [2, 1])
    assert [len(local) for local, _ in batches] == [2, 1]
    assert_close([torch.cat(tensors) for tensors in zip(*batches, strict=True)], reference(indices))


def test_the_images_that_are_not_kept_are_encoded(features, dataset, encoded, strong):
    strong()
    frozen = features()
    frozen.fill_for_training()
    encoded.clear()
    list(frozen.batches(np.array([dataset.unlabelled_indices[0], dataset.labelled_indices[0]]), 'Some'))
    assert encoded == [1]


@pytest.mark.parametrize('is_kept', [True, False])
def test_what_is_held_is_encoded_once_and_given_again_and_again(features, encoded, is_kept, reference):
    frozen, indices = features(batch_size=2), np.array([30, 3, 7])
    if is_kept:
        frozen.fill()
    encoded.clear()
    passes = frozen.held(indices, 'Some')
    found = [[torch.cat(tensors) for tensors in zip(*passes(), strict=True)] for _ in range(3)]
    assert encoded == ([] if is_kept else [2, 1])
    for each in found:
        assert_close(each, reference(indices))


@pytest.fixture
def flipped_batch(make_sample, dataset):
    """Image 3 as it is, image 7 mirrored."""
    samples = [make_sample(dataset.image_ids[index], [1, 0, 0, 0, 0, 0]) for index in (3, 7)]
    for sample, flip in zip(samples, (False, True), strict=True):
        sample.set_metainfo(dict(flip=flip))
    return samples


def test_a_flipped_sample_gets_the_features_of_the_mirror_image(features, model, dataset, flipped_batch, reference):
    frozen = features()
    frozen.fill_for_training()
    found = frozen.of_batch(flipped_batch)
    plain, mirrored = reference([3]), reference([7], mirrored=True)
    assert_close(found, [torch.cat(pair) for pair in zip(plain, mirrored, strict=True)])
    assert (found[0][1] - reference([7])[0][0]).abs().max() > 1e-2
    images = torch.zeros(2, 3, 2, 2)
    given = model.data_preprocessor(dict(inputs=list(images), data_samples=flipped_batch, features=found), True)
    assert given['inputs'].numel() == 0
    losses = model.loss(**given)
    pixels = [VIEW(dict(img_path=dataset.img_paths[index]))['img'] for index in (3, 7)]
    inputs = [torch.from_numpy(p.copy()).permute(2, 0, 1) for p in (pixels[0], pixels[1][:, ::-1])]
    expected = model.loss(**model.data_preprocessor(dict(inputs=inputs, data_samples=flipped_batch), True))
    values = [{name: value.item() for name, value in each.items()} for each in (losses, expected)]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_features_that_serve_the_scores_alone_are_not_for_training(features, flipped_batch):
    """A strongly augmented image that happens not to be mirrored must not be taken for its plain view."""
    frozen = features()
    assert frozen.of_batch(flipped_batch) is None
    frozen.fill()
    assert frozen.of_batch(flipped_batch) is None


def test_without_images_draws_the_same_flips_and_packs_the_same_labels(dataset):
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


def test_an_unfilled_one_encodes_each_time(features, encoded):
    frozen = features()
    for _ in range(2):
        list(frozen.batches(np.array([1, 2]), 'Some'))
    assert encoded == [2, 2]
