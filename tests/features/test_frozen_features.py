"""Features that are encoded once. Oracle: the tower on images that are read here."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.sample_key import SampleKey
from cssa_mm.datasets.view import View
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import DataError
from cssa_mm.features.cache import FeatureCache
from cssa_mm.features.frozen_features import FrozenFeatures, Part, without_images

VIEW = View(size=None)
CUTOUT = dict(type='Cutout', shape=8, prob=1.0)
GIB_PER_VIEW = (5 * 16 + 16) * 4 / 2**30  # tiny-rn: four positions and the global token, 16 numbers each


@pytest.fixture(scope='module')
def model(make_model):
    return make_model()


@pytest.fixture
def dataset(tiny_config):
    return DATASETS.build(tiny_config().train_dataloader.dataset)


@pytest.fixture
def features(model, dataset):
    """features(gib=1, folder=None) -> FrozenFeatures of the training set."""
    return lambda view=VIEW, **options: FrozenFeatures(model, dataset, view, **options)


@pytest.fixture
def encoded(model, monkeypatch):
    """How many images the tower has encoded, as a list with one entry a batch."""
    counts, original = [], type(model.backbone).forward
    forward = lambda self, images: counts.append(len(images)) or original(self, images)  # noqa: E731
    monkeypatch.setattr(type(model.backbone), 'forward', forward)
    return counts


def strong(dataset) -> None:
    """Make training views that cannot be kept."""
    other = dataset.with_pipeline(
        [VIEW.as_config(), dict(type='RandomFlip', prob=0.5), CUTOUT, dict(type='PackInputs')]
    )
    dataset.pipeline = other.pipeline


def reference(model, dataset, indices, mirrored=False):
    """Features of images that are read here, all at once."""
    pixels = [VIEW(dict(img_path=dataset.img_paths[index]))['img'] for index in indices]
    inputs = [torch.from_numpy((p[:, ::-1] if mirrored else p).copy()).permute(2, 0, 1) for p in pixels]
    with torch.no_grad():
        return model.backbone(model.data_preprocessor(dict(inputs=torch.stack(inputs)))['inputs'])


def assert_close(found, expected) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# -- what is kept --------------------------------------------------------------------------------------------------


def test_the_plain_view_and_its_mirror_image_are_kept_where_training_draws_nothing_else(features, model, dataset):
    frozen = features()
    frozen.fill_for_training()
    views = [(image_id, flip) for flip in (False, True) for image_id in dataset.image_ids]
    assert len(frozen.cache) == 80
    assert frozen.cache.holds(views)
    assert frozen.cache.serves_training
    for flip in (False, True):
        found = frozen.cache.lookup([(dataset.image_ids[i], flip) for i in (3, 30)], torch.device('cpu'))
        assert_close(found, reference(model, dataset, [3, 30], mirrored=flip))


def test_from_then_on_training_reads_no_image(features, dataset):
    features().fill_for_training()
    dataset.img_paths = [f'{path}.gone' for path in dataset.img_paths]
    item = dataset[SampleKey(3, 1)]
    assert item['inputs'].shape == (3, 2, 2)
    assert item['data_samples'].image_id == dataset.image_ids[3]


def test_where_training_draws_more_the_unlabelled_images_are_kept_for_the_scores(features, dataset):
    strong(dataset)
    pipeline, frozen = dataset.pipeline, features()
    frozen.fill_for_training()
    assert len(frozen.cache) == 24
    assert frozen.cache.holds([(dataset.image_ids[index], False) for index in dataset.unlabelled_indices])
    assert not frozen.cache.serves_training
    assert dataset.pipeline is pipeline


def test_features_that_nobody_would_score_are_not_kept(features, dataset):
    strong(dataset)
    frozen = features()
    frozen.fill_for_training(is_scored=False)
    assert frozen.cache is None


@pytest.mark.parametrize(('views', 'kept'), [(0, None), (23.5, None), (24, 24), (79.5, 24), (80, 80)])
def test_what_is_kept_fits_into_the_memory(features, views, kept):
    frozen = features(gib=views * GIB_PER_VIEW)
    frozen.fill_for_training()
    assert (frozen.cache and len(frozen.cache)) == kept


def test_fill_keeps_the_plain_view_of_every_image_whatever_training_draws(features, dataset):
    frozen = features(gib=0)
    frozen.fill()
    assert len(frozen.cache) == 40
    assert frozen.cache.holds([(image_id, False) for image_id in dataset.image_ids])
    assert not frozen.cache.serves_training


# -- what is given -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('is_kept', [True, False])
def test_batches_are_the_plain_views_in_the_order_that_is_asked_for(features, model, dataset, encoded, is_kept):
    frozen, indices = features(batch_size=2), np.array([30, 3, 7])
    if is_kept:
        frozen.fill()
    encoded.clear()
    batches = list(frozen.batches(indices, 'Some'))
    assert encoded == ([] if is_kept else [2, 1])
    assert [len(local) for local, _ in batches] == [2, 1]
    assert_close([torch.cat(tensors) for tensors in zip(*batches, strict=True)], reference(model, dataset, indices))


def test_images_that_are_not_all_kept_are_encoded(features, dataset, encoded):
    strong(dataset)
    frozen = features()
    frozen.fill_for_training()
    encoded.clear()
    list(frozen.batches(np.array([dataset.unlabelled_indices[0], dataset.labelled_indices[0]]), 'Some'))
    assert encoded == [2]


@pytest.mark.parametrize('is_kept', [True, False])
def test_what_is_held_is_encoded_once_and_given_again_and_again(features, model, dataset, encoded, is_kept):
    frozen, indices = features(batch_size=2), np.array([30, 3, 7])
    if is_kept:
        frozen.fill()
    encoded.clear()
    passes = frozen.held(indices, 'Some')
    found = [[torch.cat(tensors) for tensors in zip(*passes(), strict=True)] for _ in range(3)]
    assert encoded == ([] if is_kept else [2, 1])
    for each in found:
        assert_close(each, reference(model, dataset, indices))


@pytest.fixture
def flipped_batch(make_sample, dataset):
    """Image 3 as it is, image 7 mirrored."""
    samples = [make_sample(dataset.image_ids[index], [1, 0, 0, 0, 0, 0]) for index in (3, 7)]
    for sample, flip in zip(samples, (False, True), strict=True):
        sample.set_metainfo(dict(flip=flip))
    return samples


def test_a_flipped_sample_gets_the_features_of_the_mirror_image(features, model, dataset, flipped_batch):
    frozen = features()
    frozen.fill_for_training()
    found = frozen.of_batch(flipped_batch)
    plain, mirrored = reference(model, dataset, [3]), reference(model, dataset, [7], mirrored=True)
    assert_close(found, [torch.cat(pair) for pair in zip(plain, mirrored, strict=True)])
    assert (found[0][1] - reference(model, dataset, [7])[0][0]).abs().max() > 1e-2
    images = torch.zeros(2, 3, 2, 2)
    given = model.data_preprocessor(dict(inputs=list(images), data_samples=flipped_batch, features=found), True)
    assert given['inputs'].numel() == 0
    losses = model.loss(**given)
    pixels = [VIEW(dict(img_path=dataset.img_paths[index]))['img'] for index in (3, 7)]
    inputs = [torch.from_numpy(p.copy()).permute(2, 0, 1) for p in (pixels[0], pixels[1][:, ::-1])]
    expected = model.loss(**model.data_preprocessor(dict(inputs=inputs, data_samples=flipped_batch), True))
    values = [{name: value.item() for name, value in each.items()} for each in (losses, expected)]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_features_that_serve_the_scores_alone_are_not_for_training(features, dataset, flipped_batch):
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


# -- the folder ----------------------------------------------------------------------------------------------------


def test_another_run_with_another_split_finds_the_features_in_the_folder(
    features, model, tiny_config, encoded, tmp_path
):
    folder = tmp_path / 'kept'
    first = features(folder=folder)
    first.fill_for_training()
    assert sum(encoded) == 1 + 80
    encoded.clear()
    config = tiny_config(**{'train_dataloader.dataset.split': dict(proportion=0.2, seed=3)})
    again = FrozenFeatures(model, DATASETS.build(config.train_dataloader.dataset), VIEW, folder=str(folder))
    again.fill_for_training()
    assert sum(encoded) == 1  # for the size
    views = [(again.dataset.image_ids[index], flip) for index in (0, 39) for flip in (False, True)]
    for found, expected in zip(*(f.cache.lookup(views, torch.device('cpu')) for f in (again, first)), strict=True):
        assert torch.equal(found, expected)
    assert again.cache.serves_training
    assert len(list(folder.iterdir())) == 1


def test_training_from_kept_features_is_bitwise_that_from_features_of_its_own(tiny_config, tmp_path, monkeypatch):
    def train(name: str, **overrides) -> tuple[dict, str]:
        runner = CSSARunner.from_cfg(tiny_config(work_dir=str(tmp_path / name), **overrides))
        runner.train()
        return runner.model.state_dict(), (tmp_path / name / 'pseudo_labels.jsonl').read_text()

    def same(one: tuple[dict, str], other: tuple[dict, str]) -> bool:
        return one[1] == other[1] and all(torch.equal(value, other[0][name]) for name, value in one[0].items())

    kept = {'default_hooks.pseudo_labels.feature_cache.folder': str(tmp_path / 'features')}
    without, fresh = train('without'), train('fresh', **kept)
    (file,) = (tmp_path / 'features').iterdir()
    stamp, loaded, load = file.stat().st_mtime_ns, [], FeatureCache.load
    monkeypatch.setattr(FeatureCache, 'load', lambda path: loaded.append(path) or load(path))
    again = train('again', **kept)
    other_split = train('other', **kept, **{'train_dataloader.dataset.split.seed': 2})
    assert same(without, fresh)
    assert same(without, again)
    assert not same(without, other_split)
    assert loaded == [file, file]
    assert file.stat().st_mtime_ns == stamp


def test_a_broken_file_of_features_says_what_to_do(features, tmp_path):
    features(folder=tmp_path).fill()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(DataError, match='found no readable features .* remove the file'):
        features(folder=tmp_path).fill()


def test_in_a_folder_the_features_for_the_scores_serve_every_split(features, dataset, tmp_path):
    strong(dataset)
    frozen = features(folder=tmp_path)
    frozen.fill_for_training()
    assert len(frozen.cache) == 40
    assert not frozen.cache.serves_training


def test_bad_images_come_back_from_the_folder(features, dataset, tmp_path):
    photo = tmp_path / 'photo.png'
    photo.write_bytes(b'broken')
    dataset.img_paths[5] = str(photo)
    for _ in range(2):
        dataset.bad_images = BadImages(shape=(64, 64))
        features(folder=tmp_path / 'kept').fill()
        assert list(dataset.bad_images.reasons) == [dataset.image_ids[5]]


def test_an_image_that_vanishes_is_a_bad_one_beside_a_folder_too(features, dataset, tmp_path):
    dataset.img_paths[5] = str(tmp_path / 'link.png')
    (tmp_path / 'link.png').symlink_to(tmp_path / 'nowhere.png')  # listed, yet not there
    dataset.bad_images = BadImages(shape=(64, 64))
    features(folder=tmp_path / 'kept').fill()
    assert list(dataset.bad_images.reasons) == [dataset.image_ids[5]]


def test_the_fingerprint_tells_tower_view_sides_and_files_apart(
    features, make_model, backbone_config, dataset, tmp_path
):
    everything = np.arange(40)
    plain, both = [Part(everything, False)], [Part(everything, False), Part(everything, True)]

    def found(parts=plain, model=None, view=VIEW) -> str:
        frozen = features(view=view)
        frozen.model = model or frozen.model
        return frozen._fingerprint(parts)

    expected = found()
    assert found() == expected
    assert found(view=View(size=None, backend='pillow', backend_args=dict(backend='local'))) == expected
    assert found(model=make_model(seed=1, context_head=None)) == expected  # prompts are no part of the tower
    others = [
        found(both),
        found([Part(everything, True)]),
        found([Part(everything[1:], False)]),
        found(view=View(size=64)),
        found(view=View(size=64, interpolation='bilinear')),
        found(model=make_model(backbone=backbone_config('tiny-vit'))),
        found(model=make_model(backbone=backbone_config(dense='attention'))),
        found(model=make_model(backbone=backbone_config(global_token=False))),
        found(model=make_model(data_preprocessor=dict(mean=[0.0, 0.0, 0.0]))),
    ]
    photo = tmp_path / 'photo.png'
    photo.write_bytes(Path(dataset.img_paths[3]).read_bytes())
    dataset.img_paths[3] = str(photo)
    others.append(found())
    os.utime(photo, ns=(0, 12345))
    others.append(found())
    photo.write_bytes(photo.read_bytes() + b'\0')
    os.utime(photo, ns=(0, 12345))
    others.append(found())
    assert len({expected, *others}) == 1 + len(others)


TWO_RANKS = """
import sys
from pathlib import Path
from mmengine.config import Config
from mmengine.registry import DefaultScope
import cssa_mm
from mmpretrain.registry import DATASETS, MODELS
from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.view import View
from cssa_mm.features.frozen_features import FrozenFeatures
folder, rank = Path(sys.argv[1]), torch.distributed.get_rank()
config = Config.fromfile(folder / 'config.py')
with DefaultScope.overwrite_default_scope('mmpretrain'):
    model, dataset = MODELS.build(config.model), DATASETS.build(config.train_dataloader.dataset)
count = []
model.backbone.register_forward_hook(lambda module, inputs, outputs: count.append(len(inputs[0])))
result = {}
for name in ('encoded', 'one lacks it', 'found'):
    count.clear()
    dataset.bad_images = BadImages(shape=(64, 64))
    path = folder / ('own' if name == 'one lacks it' and rank == 1 else 'kept')
    frozen = FrozenFeatures(model, dataset, View(size=None), folder=path)
    frozen.fill()
    tensors = frozen.cache.lookup([(image_id, False) for image_id in dataset.image_ids], torch.device('cpu'))
    result[name] = dict(count=sum(count), tensors=tensors, bad=list(dataset.bad_images.reasons))
torch.save(result, folder / f'rank{rank}.pt')
"""


@pytest.mark.slow
def test_two_ranks_encode_half_each_and_keep_what_one_process_does(two_ranks, features, dataset, tiny_config, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(dataset.data_root, data)
    (data / 'train' / Path(dataset.img_paths[6]).name).write_bytes(b'')
    config = tiny_config(**{'train_dataloader.dataset.data_root': str(data)})
    config.dump(tmp_path / 'config.py')
    two_ranks(TWO_RANKS, tmp_path)
    ranks = [torch.load(tmp_path / f'rank{rank}.pt', weights_only=True) for rank in range(2)]
    frozen = features()
    frozen.dataset = DATASETS.build(config.train_dataloader.dataset)
    frozen.dataset.bad_images = BadImages(shape=(64, 64))
    frozen.fill()
    expected = frozen.cache.lookup([(image_id, False) for image_id in dataset.image_ids], torch.device('cpu'))
    for rank in ranks:
        assert [rank[name]['count'] for name in ('encoded', 'one lacks it', 'found')] == [20, 20, 0]
        for name, found in rank.items():
            assert_close(found['tensors'], expected)
            assert found['bad'] == [dataset.image_ids[6]]
            for one, other in zip(found['tensors'], ranks[0][name]['tensors'], strict=True):
                assert torch.equal(one, other)
    (path,) = (tmp_path / 'kept').iterdir()
    kept = FeatureCache.load(path).lookup([(image_id, False) for image_id in dataset.image_ids], torch.device('cpu'))
    for one, other in zip(kept, ranks[0]['encoded']['tensors'], strict=True):
        assert torch.equal(one, other)


def test_each_rank_takes_part_in_the_sharing_of_a_single_image(features, dataset, model, monkeypatch):
    """Rank 0 has all of it, yet the other one waits for both."""
    shared = []
    for module in ('encode', 'frozen_features'):
        monkeypatch.setattr(f'cssa_mm.features.{module}.get_dist_info', lambda: (0, 2))
    monkeypatch.setattr('cssa_mm.features.encode.all_reduce', shared.append)
    dataset.get_subset_([3])
    features().fill()
    assert len(shared) == 2  # local and global features


def test_an_unfilled_one_encodes_each_time(features, dataset, encoded):
    frozen = features()
    for _ in range(2):
        list(frozen.batches(np.array([1, 2]), 'Some'))
    assert encoded == [2, 2]
