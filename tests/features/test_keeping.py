"""Views that are kept in a folder. Oracle: the tower on images that are read here, and runs that keep nothing there."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS
from PIL import Image

from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.datasets.view import View
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError, DataError, ImageError
from cssa_mm.features import keeping, plan, store
from cssa_mm.features.keeping import Keeper
from cssa_mm.features.kept_views import MIRRORED, PLAIN, strong_side
from cssa_mm.features.options import CacheOptions

VIEW = View(size=None)
CPU = torch.device('cpu')
VIEW_BYTES = (5 * 16 + 16) * 4  # tiny-rn: four positions and the global token, 16 numbers each


def assert_close(found, expected) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def plain(frozen, indices=range(40)):
    return frozen.cache.lookup([(frozen.dataset.image_ids[index], False) for index in indices], CPU)


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob('*/*.safetensors'))


@pytest.fixture
def said(monkeypatch):
    """The lines that were logged."""
    lines = []
    for module in (keeping, store):
        monkeypatch.setattr(module, 'print_log', lambda line, *_: lines.append(line))
    return lines


# -- the folder ----------------------------------------------------------------------------------------------------


def test_another_run_with_another_split_finds_the_features_in_the_folder(features, tiny_config, encoded, tmp_path):
    first = features(folder=tmp_path / 'kept')
    first.fill_for_training()
    assert sum(encoded) == 1 + 80
    encoded.clear()
    config = tiny_config(**{'train_dataloader.dataset.split': dict(proportion=0.2, seed=3)})
    again = features(data=DATASETS.build(config.train_dataloader.dataset), folder=str(tmp_path / 'kept'))
    again.fill_for_training()
    assert sum(encoded) == 1  # for the size
    views = [(again.dataset.image_ids[index], flip) for index in (0, 39) for flip in (False, True)]
    for found, expected in zip(*(f.cache.lookup(views, CPU) for f in (again, first)), strict=True):
        assert torch.equal(found, expected)
    assert again.cache.serves_training
    assert len(shards(tmp_path)) == 0
    assert len(shards(tmp_path / 'kept')) == 2  # plain and mirrored


def test_training_from_kept_features_is_bitwise_that_from_features_of_its_own(tiny_config, tmp_path):
    def train(name: str, **overrides) -> tuple[dict, str]:
        runner = CSSARunner.from_cfg(tiny_config(work_dir=str(tmp_path / name), **overrides))
        runner.train()
        return runner.model.state_dict(), (tmp_path / name / 'pseudo_labels.jsonl').read_text()

    def same(one: tuple[dict, str], other: tuple[dict, str]) -> bool:
        return one[1] == other[1] and all(torch.equal(value, other[0][name]) for name, value in one[0].items())

    kept = {'default_hooks.pseudo_labels.feature_cache.folder': str(tmp_path / 'features')}
    without, fresh = train('without'), train('fresh', **kept)
    stamps = {path: path.stat().st_mtime_ns for path in shards(tmp_path / 'features')}
    again = train('again', **kept)
    other_split = train('other', **kept, **{'train_dataloader.dataset.split.seed': 2})
    assert same(without, fresh)
    assert same(without, again)
    assert not same(without, other_split)
    assert {path: path.stat().st_mtime_ns for path in shards(tmp_path / 'features')} == stamps


def test_a_build_that_is_killed_goes_on_after_its_last_whole_shard(features, encoded, tmp_path, monkeypatch, reference):
    monkeypatch.setattr(store, 'ROWS', 8)
    write, written = store.FeatureStore.write, []

    def killed(*args):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(write(*args))

    monkeypatch.setattr(store.FeatureStore, 'write', killed)
    with pytest.raises(KeyboardInterrupt):
        features(folder=tmp_path, batch_size=4).fill()
    monkeypatch.setattr(store.FeatureStore, 'write', write)
    encoded.clear()
    frozen = features(folder=tmp_path, batch_size=4)
    frozen.fill()
    assert sum(encoded) == 1 + 40 - 3 * 8
    assert_close(plain(frozen), reference(range(40)))
    assert len(shards(tmp_path)) == 5


@pytest.mark.parametrize('broken', [lambda content: content[:500], lambda content: b'', lambda content: content[:-1]])
def test_a_broken_shard_is_left_out_with_one_line_and_encoded_anew(
    features, encoded, tmp_path, monkeypatch, reference, said, broken
):
    monkeypatch.setattr(store, 'ROWS', 8)
    features(folder=tmp_path, batch_size=8).fill()
    path = shards(tmp_path)[2]
    path.write_bytes(broken(path.read_bytes()))
    encoded.clear()
    frozen = features(folder=tmp_path, batch_size=8)
    frozen.fill()
    assert sum(encoded) == 1 + 8
    assert_close(plain(frozen), reference(range(40)))
    assert [path.name in line for line in said if 'found no readable features' in line] == [True]
    assert len(shards(tmp_path)) == 5


def test_an_image_that_changes_is_encoded_in_its_batch_as_in_a_build_from_the_beginning(
    features, dataset, encoded, tmp_path
):
    features(folder=tmp_path / 'kept', batch_size=8).fill()
    small = tmp_path / 'small.png'  # it is padded to the size of the others
    Image.new('RGB', (32, 32), 'white').save(small)
    dataset.img_paths[12] = str(small)
    encoded.clear()
    frozen, fresh = features(folder=tmp_path / 'kept', batch_size=8), features(batch_size=8)
    frozen.fill()
    assert encoded == [1, 8]
    fresh.fill()
    for found, expected in zip(plain(frozen), plain(fresh), strict=True):
        assert torch.equal(found, expected)
    assert len(shards(tmp_path / 'kept')) == 2
    assert len(frozen.cache) == 40


def test_in_a_folder_the_features_for_the_scores_serve_every_split(features, strong, tmp_path):
    strong()
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
    dataset.bad_images = None  # nobody leaves them out: nobody takes a picture of the mean colour for the image
    with pytest.raises(ImageError):
        features(folder=tmp_path / 'kept').fill()


def test_an_image_that_vanishes_is_a_bad_one_beside_a_folder_too(features, dataset, tmp_path):
    dataset.img_paths[5] = str(tmp_path / 'link.png')
    (tmp_path / 'link.png').symlink_to(tmp_path / 'nowhere.png')  # listed, yet not there
    dataset.bad_images = BadImages(shape=(64, 64))
    features(folder=tmp_path / 'kept').fill()
    assert list(dataset.bad_images.reasons) == [dataset.image_ids[5]]


def test_half_the_bytes_hold_the_features_to_half_precision(features, tmp_path, reference):
    whole, half, in_memory = features(folder=tmp_path), features(folder=tmp_path, dtype='float16'), features()
    for frozen in (whole, half, in_memory):
        frozen.fill()
    in_memory.options = CacheOptions(dtype='float16')
    in_memory.fill()
    assert len(list(tmp_path.iterdir())) == 2  # each type has a folder of its own
    assert half.cache.nbytes * 2 == whole.cache.nbytes
    for frozen in (half, in_memory):
        for found, expected in zip(plain(frozen), plain(whole), strict=True):
            assert torch.equal(found, expected.half().float())


# -- what fits -----------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(monkeypatch):
    """disk(views): that many views fit on the disk."""

    def free(views: float) -> None:
        usage = SimpleNamespace(free=views * VIEW_BYTES / plan.SHARE)
        monkeypatch.setattr(plan.shutil, 'disk_usage', lambda path: usage)

    return free


def test_on_a_small_disk_what_fits_is_kept_and_the_rest_encoded(features, disk, encoded, tmp_path, dataset, said):
    disk(21)
    frozen = features(folder=tmp_path, gib=1e-9, batch_size=1)
    frozen.fill_for_training()
    assert len(frozen.cache) == 20
    assert not frozen.cache.serves_training
    assert said[0].endswith('30 images do not fit: they are encoded each time')
    disk(4)  # what is there already needs no room
    encoded.clear()
    weak = [
        VIEW.as_config(),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackInputs', meta_keys=('image_id', 'flip')),
    ]
    again = features(folder=tmp_path, gib=1e-9, batch_size=1, data=frozen.dataset.with_pipeline(weak))
    again.fill_for_training()
    assert len(again.cache) == 24
    assert sum(encoded) == 1 + 4


def test_where_the_disk_is_small_the_memory_holds_what_it_can(features, disk, tmp_path):
    disk(20)
    frozen = features(folder=tmp_path, gib=1)
    frozen.fill_for_training()
    assert frozen.cache.serves_training
    assert shards(tmp_path) == []


def test_what_neither_memory_nor_disk_can_hold_is_refused_in_one_line(features, disk, tmp_path, encoded, monkeypatch):
    disk(20)
    frozen = features(folder=tmp_path, gib=30 * VIEW_BYTES / 2**30, partial=False)
    with pytest.raises(
        ConfigError, match=r'feature_cache: found .* GiB of features \(80 views\), expected at most the'
    ):
        frozen.fill_for_training()
    assert sum(encoded) == 1
    disk(39)
    monkeypatch.setattr(plan, 'free_memory', lambda: 39 * VIEW_BYTES)
    with pytest.raises(ConfigError, match=r'found .* GiB of features \(40 views\)'):
        frozen.fill()


def test_size_and_time_are_announced_before_anything_is_encoded(features, tmp_path, monkeypatch, said):
    at_start = []
    monkeypatch.setattr(Keeper, '_encode', lambda keeper, part, **_: at_start.extend(said) or iter(()))
    monkeypatch.setattr(plan, 'GIB', 1024)
    with pytest.raises(DataError, match='found 40 views missing'):
        features(folder=tmp_path).fill()
    (line,) = at_start
    assert line.startswith(f'Features: 40 views of 40 images, {40 * VIEW_BYTES / 1024:.2f} GiB in {tmp_path}; encoding')


# -- keys ----------------------------------------------------------------------------------------------------------


def test_the_keys_tell_tower_view_sides_draws_and_files_apart(make_model, backbone_config, dataset, tmp_path, strong):
    def found(model=None, view=VIEW, side=PLAIN, **options) -> tuple[str, str]:
        keeper = Keeper(model or make_model(), dataset, view, CacheOptions(folder=tmp_path, **options), {})
        return keeper.tower_key(), keeper.keys(np.array([3]), side)[0]

    expected = found()
    assert found() == expected
    assert found(view=View(size=None, backend='pillow', backend_args=dict(backend='local'))) == expected
    assert found(model=make_model(seed=1, context_head=None)) == expected  # prompts are no part of the tower
    others = [
        found(side=MIRRORED),
        found(side=strong_side(0)),
        found(side=strong_side(1)),
        found(dtype='float16'),
        found(view=View(size=64)),
        found(view=View(size=64, interpolation='bilinear')),
        found(model=make_model(backbone=backbone_config('tiny-vit'))),
        found(model=make_model(backbone=backbone_config(dense='attention'))),
        found(model=make_model(backbone=backbone_config(global_token=False))),
        found(model=make_model(data_preprocessor=dict(mean=[0.0, 0.0, 0.0]))),
    ]
    strong()
    assert found() == expected
    others.append(found(side=strong_side(0)))
    dataset.pipeline.transforms[2].shape = (9, 9)
    others.append(found(side=strong_side(0)))
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
