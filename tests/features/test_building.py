"""The ranks encode together. Oracle: one process that keeps its features in memory."""

import contextlib
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.bad_images import BadImages
from cssa_mm.features import building
from cssa_mm.features.building import build_in_memory
from cssa_mm.features.kept_views import MIRRORED, Part
from cssa_mm.features.store import FeatureStore

CPU = torch.device('cpu')
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
for name in ('in memory', 'encoded', 'found', 'of each machine'):
    count.clear()
    dataset.bad_images = BadImages(shape=(64, 64))
    path = dict(encoded=folder / 'kept', found=folder / 'kept').get(name, folder / f'own{rank}')
    options = dict(folder=None) if name == 'in memory' else dict(folder=path, batch_size=8)
    frozen = FrozenFeatures(model, dataset, View(size=None), **options)
    frozen.fill()
    tensors = frozen.cache.lookup([(image_id, False) for image_id in dataset.image_ids], torch.device('cpu'))
    result[name] = dict(count=sum(count) - 1, tensors=tensors, bad=list(dataset.bad_images.reasons))
torch.save(result, folder / f'rank{rank}.pt')
"""


@pytest.mark.slow
def test_two_ranks_share_the_work_and_keep_what_one_process_does(two_ranks, features, dataset, tiny_config, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(dataset.data_root, data)
    (data / 'train' / Path(dataset.img_paths[6]).name).write_bytes(b'')
    config = tiny_config(**{'train_dataloader.dataset.data_root': str(data)})
    config.dump(tmp_path / 'config.py')
    two_ranks(TWO_RANKS, tmp_path)
    ranks = [torch.load(tmp_path / f'rank{rank}.pt', weights_only=True) for rank in range(2)]
    frozen = features(data=DATASETS.build(config.train_dataloader.dataset))
    frozen.dataset.bad_images = BadImages(shape=(64, 64))
    frozen.fill()
    expected = frozen.cache.lookup([(image_id, False) for image_id in dataset.image_ids], CPU)
    counts = {name: [rank[name]['count'] for rank in ranks] for name in ranks[0]}
    assert sum(counts.pop('encoded')) == 40  # whoever is faster encodes more
    assert counts == {'in memory': [20, 20], 'found': [0, 0], 'of each machine': [40, 40]}
    for rank in ranks:
        for name, found in rank.items():
            assert found['bad'] == [dataset.image_ids[6]]
            for one, other, same in zip(found['tensors'], ranks[0][name]['tensors'], expected, strict=True):
                assert torch.equal(one, other)
                torch.testing.assert_close(one, same, rtol=1e-4, atol=1e-5)
    assert [path.suffix for path in tmp_path.glob('kept/*/*')] == ['.safetensors'] * 5  # one for each block, no claim


class Folder:
    """A store of 20 views in five blocks of four, and what builders of it encode."""

    keys = [f'view {number}' for number in range(20)]

    def __init__(self, path) -> None:
        self.path = path
        self.encoded: list[int] = []

    def build(self, before_batch=lambda: None) -> FeatureStore:
        def encoder(part):
            for start in range(0, len(part.indices), 2):
                before_batch()
                rows = torch.as_tensor(part.indices[start : start + 2])
                self.encoded.extend(rows.tolist())
                yield rows[:, None, None].expand(-1, 2, 3).float(), rows[:, None].expand(-1, 3).float()

        found = FeatureStore(self.path)
        parts = [Part(np.arange(20))]
        building.build_on_disk(found, parts, [self.keys], encoder, torch.float32, lambda part: {}, 2)
        return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(building.stores, 'ROWS', 4)
    monkeypatch.setattr(building, 'BLOCKS', 100)
    return Folder(tmp_path / 'kept')


def rows_of(found: FeatureStore) -> list[int]:
    return [int(found.shards[number][1][row, 0]) for number, row in (found.places[key] for key in Folder.keys)]


def test_two_that_build_at_the_same_time_share_the_work(folder):
    barrier = threading.Barrier(2, timeout=20)
    meet = iter([barrier.wait, barrier.wait])
    stores, errors = [], []

    def build() -> None:
        try:
            stores.append(folder.build(lambda: next(meet, lambda: None)()))  # both have begun a block
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(folder.encoded) == list(range(20))  # each view once
    assert [rows_of(found) for found in stores] == [list(range(20))] * 2
    assert {path.suffix for path in folder.path.iterdir()} == {'.safetensors'}


def test_blocks_of_another_builder_are_waited_for_and_encoded_if_it_ends_without_them(folder, monkeypatch):
    other = FeatureStore(folder.path)
    folder.path.mkdir()
    begun = threading.Event()

    def hold() -> None:
        with other.claimed(folder.keys[:4], may_wait=False) as is_mine:
            assert is_mine
            begun.set()
            ended.wait(20)

    ended = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(20)
    found = folder.build(lambda: ended.set() if len(folder.encoded) == 14 else None)
    thread.join()
    assert folder.encoded == [*range(4, 20), *range(4)]
    assert rows_of(found) == list(range(20))


def test_ranks_begin_far_from_each_other(folder, monkeypatch):
    monkeypatch.setattr(building, 'get_dist_info', lambda: (1, 2))
    monkeypatch.setattr(building, 'barrier', lambda: None)
    folder.build()
    assert folder.encoded == [*range(10, 20), *range(10)]


def test_without_locks_two_builders_still_end_with_all(folder, monkeypatch):
    monkeypatch.setattr(FeatureStore, 'claimed', lambda *_: contextlib.nullcontext(True))
    folder.build()
    assert rows_of(folder.build()) == list(range(20))
    assert len(folder.encoded) == 20


@pytest.mark.parametrize(('total', 'world_size', 'count'), [(30, 1, 8), (30, 4, 15), (2000, 1, 100), (2000, 4, 250)])
def test_blocks_are_whole_batches_and_more_than_the_ranks(total, world_size, count, monkeypatch):
    monkeypatch.setattr(building.stores, 'ROWS', 4)
    monkeypatch.setattr(building, 'BLOCKS', 100)
    limits = building._limits(total, 2, world_size)
    assert [start for start, _ in limits[1:]] == [end for _, end in limits[:-1]]
    assert (limits[0][0], limits[-1][1], len(limits)) == (0, total, count)
    assert all(start % 2 == 0 for start, _ in limits)


def test_memory_is_filled_in_place_in_the_order_of_parts_and_images():
    parts = [Part(np.array([4, 1, 3])), Part(np.array([2, 0]), MIRRORED)]
    asked = []

    def encoder(part):
        asked.append((part.indices.tolist(), part.side))
        values = torch.as_tensor(part.indices) + 10.0 * (part.side == MIRRORED)
        for chunk in values.split(2):
            yield chunk[:, None, None].expand(-1, 2, 3), chunk[:, None].expand(-1, 3)

    sample = torch.zeros(1, 2, 3), torch.zeros(1, 3)
    local, pooled = build_in_memory(parts, encoder, sample, torch.float16, shared=True)
    assert asked == [([4, 1, 3], (False,)), ([2, 0], (True,))]
    assert local.shape == (5, 2, 3)
    assert local.dtype == pooled.dtype == torch.float16
    assert local[:, 1, 2].tolist() == pooled[:, 0].tolist() == [4, 1, 3, 12, 10]


def test_each_rank_takes_part_in_the_sharing_of_a_single_image(monkeypatch):
    """Rank 0 has all of it, yet the other one waits for both."""
    shared = []
    for module in ('encode', 'building'):
        monkeypatch.setattr(f'cssa_mm.features.{module}.get_dist_info', lambda: (1, 2))
    monkeypatch.setattr('cssa_mm.features.building.all_reduce', shared.append)
    sample = torch.ones(1, 2, 3), torch.ones(1, 3)
    refused = lambda part: pytest.fail('nothing to encode')  # noqa: E731
    local, _ = build_in_memory([Part(np.array([3]))], refused, sample, torch.float32, shared=True)
    assert len(shared) == 2  # local and global features
    assert not local.any()
