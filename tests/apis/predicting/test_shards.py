"""Shards on the disk, and which of them has an image."""

import os

import numpy as np
import pytest
from PIL import Image

from cssa_mm.apis.predicting.shards import Ledger, Shard, Shards, look_up, remove_partial
from cssa_mm.apis.predicting.sources import ImageList, facts_of, find_images
from cssa_mm.errors import DataError


def made(images, positions, value=0.0, reasons=None):
    """A shard with the images at these positions; scores are their positions, and `value`."""
    names = [images.names[position] for position in positions]
    facts = [facts_of(images.path(position)) for position in positions]
    scores = np.array([[position, value] for position in positions], np.float32)
    return Shard(names, facts, reasons or [''] * len(names), scores, -scores)


def listed(ledger, shards):
    return [(position, tuple(shard.scores[row].tolist())) for position, shard, row in ledger.rows(shards)]


@pytest.fixture
def images(photos):
    return find_images(photos)


def test_a_shard_reads_back_bit_by_bit(tmp_path):
    shards = Shards(tmp_path / 'shards')
    scores = np.array([[1 / 3, np.nan], [1e-30, 1]], np.float32)
    shards.write(3, Shard(['a\n.jpg', 'é;"'], ['1 2', 'address'], ['', 'no image'], scores, scores / 7))
    found = shards.read(3)
    assert found[:3] == (['a\n.jpg', 'é;"'], ['1 2', 'address'], ['', 'no image'])
    assert found.scores.tobytes() == scores.tobytes()
    assert found.raw_scores.tobytes() == (scores / 7).astype(np.float32).tobytes()
    assert (shards.numbers(), shards.texts(3)) == ([3], found[:3])


@pytest.mark.parametrize('spoil', [lambda data: data[:-9], lambda data: b'', lambda data: data.replace(b'img', b'gmi')])
def test_a_damaged_shard_is_named(images, tmp_path, spoil):
    shards = Shards(tmp_path / 'shards')
    shards.write(0, made(images, [0, 1]))
    shards.path(0).write_bytes(spoil(shards.path(0).read_bytes()))
    with pytest.raises(DataError, match=r'000000\.npz: found no readable shard'):
        shards.read(0)


@pytest.mark.parametrize(
    'change',
    [
        dict(text=np.frombuffer(b'[1, 2, 3]', np.uint8)),
        dict(text=np.frombuffer(b'[["a"], ["1 2"], [7]]', np.uint8)),
        dict(text=np.frombuffer(b'[["a"], ["1 2"], ["", ""]]', np.uint8)),
        dict(scores=np.zeros((5, 2), np.float32)),
        dict(scores=np.array([['a'] * 6] * 2)),
        dict(raw_scores=np.zeros(2, np.float32)),
        dict(scores=np.array([{}], dtype=object)),
    ],
)
def test_a_shard_of_another_form_is_named(images, tmp_path, change):
    shards = Shards(tmp_path / 'shards')
    shards.write(0, made(images, [0, 1]))
    with np.load(shards.path(0)) as content:
        arrays = dict(content)
    np.savez(shards.path(0), **arrays | change)
    with pytest.raises(DataError, match=r'000000\.npz: found no readable shard'):
        shards.read(0)


def test_nothing_is_left_of_a_shard_that_cannot_be_written(images, tmp_path, monkeypatch):
    def full(file, **arrays):
        file.write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    shards = Shards(tmp_path / 'shards')
    monkeypatch.setattr(np, 'savez', full)
    with pytest.raises(OSError, match='No space'):
        shards.write(0, made(images, [0, 1]))
    assert list(shards.folder.iterdir()) == []


def test_what_a_killed_run_left_is_removed(images, tmp_path):
    shards = Shards(tmp_path / 'shards')
    shards.write(0, made(images, [0, 1]))
    (shards.folder / '.000001.4711.tmp.npz').write_bytes(b'half')
    assert shards.numbers() == [0]
    remove_partial(shards.folder)
    assert os.listdir(shards.folder) == ['000000.npz']


def test_rows_come_in_the_order_of_the_list_from_whichever_shard_has_them(images, tmp_path):
    shards, ledger = Shards(tmp_path / 'shards'), Ledger(images)
    assert ledger.missing().tolist() == list(range(10))
    for number, positions in enumerate([[4, 5, 6], [0, 9], [1, 2]]):
        shards.write(number, made(images, positions, number))
        ledger.enter(number, positions)
    assert ledger.missing().tolist() == [3, 7, 8]
    expected = [(0, 1), (1, 2), (2, 2), (4, 0), (5, 0), (6, 0), (9, 1)]
    assert listed(ledger, shards) == [(position, (position, number)) for position, number in expected]


def test_many_alternating_shards_need_few_in_memory(tmp_path):
    """More shards than stay open, each image of the list in another one than its neighbour."""
    count, parts = 60, 12
    images = ImageList('', str(tmp_path), [f'{n}.jpg' for n in range(count)], [f'{n}.jpg' for n in range(count)])
    shards, ledger = Shards(tmp_path / 'shards'), Ledger(images)
    for number in range(parts):
        positions = list(range(number, count, parts))
        shards.write(number, made(images, positions, number))
        ledger.enter(number, positions)
    assert listed(ledger, shards) == [(n, (n, n % parts)) for n in range(count)]


def test_a_bad_address_is_tried_again_and_a_bad_file_is_not(photos, tmp_path):
    (photos / 'list.txt').write_text('http://x.org/1.jpg\nhttp://x.org/2.jpg\nimg1.png\n')
    images = find_images(photos / 'list.txt')
    shards = Shards(tmp_path / 'shards')
    shards.write(0, made(images, [0, 1, 2], reasons=['', 'timed out', 'no image']))
    found = look_up(shards, images)
    assert found.ledger.missing().tolist() == [1]
    assert (found.gone, found.changed) == (0, 0)


def test_a_later_run_finds_what_is_as_it_was(photos, images, tmp_path):
    shards = Shards(tmp_path / 'shards')
    shards.write(0, made(images, [0, 1, 2, 3]))
    shards.write(1, made(images, [4, 5]))
    assert look_up(shards, images).ledger.missing().tolist() == [6, 7, 8, 9]
    Image.new('RGB', (9, 9)).save(photos / 'img1.png')  # another image
    os.unlink(photos / 'img2.png')
    Image.new('RGB', (9, 9)).save(photos / 'img00.png')  # between the others
    now = find_images(photos)
    found = look_up(shards, now)
    assert (found.gone, found.changed) == (1, 1)
    missing = [now.names[position] for position in found.ledger.missing()]
    assert missing == ['img00.png', 'img1.png', 'img6.png', 'img7.png', 'more/img8.png', 'more/img9.png']
    # The changed image comes from the later shard, though the earlier one still has it.
    position = now.names.index('img1.png')
    shards.write(2, made(now, [position], value=7))
    found = look_up(shards, now)
    assert found.changed == 0
    assert dict(listed(found.ledger, shards))[position] == (position, 7)
