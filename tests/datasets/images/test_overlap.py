import os

import numpy as np
import pytest

from cssa_mm.datasets.images import overlap
from cssa_mm.datasets.images.overlap import Overlap, is_tolerated, overlap_of


@pytest.fixture
def write(tmp_path):
    """write('train/a.jpg', content) -> the path of a new file."""

    def make(name: str, content: bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)

    return make


def random_bytes(seed: int, size: int = 20_000) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()


def test_files_of_the_same_bytes_are_found_whatever_their_names(write):
    train = [write(f'train/{n}.jpg', random_bytes(n)) for n in range(6)]
    test = [write(f'test/{n}.jpg', random_bytes(n + 5)) for n in range(4)]
    assert overlap_of(train, test) == Overlap([], [(train[5], test[0])])


def test_the_same_file_is_found_through_links_and_other_spellings(write, tmp_path):
    train = [write(f'train/{n}.jpg', random_bytes(n)) for n in range(4)]
    (tmp_path / 'link.jpg').symlink_to(train[1])
    os.link(train[2], tmp_path / 'hard.jpg')
    (tmp_path / 'folder').symlink_to(tmp_path / 'train')
    test = [str(tmp_path / 'link.jpg'), str(tmp_path / 'hard.jpg'), f'{tmp_path}/train/../folder/3.jpg']
    assert overlap_of(train, test) == Overlap(list(zip(train[1:], test, strict=True)), [])


def test_files_that_differ_in_one_byte_outside_the_sample_are_different(write):
    content = bytearray(random_bytes(0, 200_000))
    first = write('train/a.jpg', bytes(content))
    content[-1] ^= 1
    assert overlap_of([first], [write('test/a.jpg', bytes(content))]) == Overlap([], [])


def test_only_files_of_equal_size_and_sample_are_read_whole(write, monkeypatch):
    train = [write(f'train/{n}.jpg', random_bytes(n, 9000 + n % 3)) for n in range(9)]
    test = [write('test/a.jpg', random_bytes(100, 9000)), write('test/b.jpg', random_bytes(4, 9001))]
    read = []
    original = overlap.digest_of
    monkeypatch.setattr(overlap, 'digest_of', lambda path: read.append(path) or original(path))
    assert overlap_of(train, test).same_bytes == [(train[4], test[1])]
    assert sorted(read) == sorted([train[4], test[1]])


def test_files_that_are_not_there_and_empty_sets_are_no_overlap(write, tmp_path):
    path = write('a.jpg', b'1')
    assert overlap_of([str(tmp_path / 'gone.jpg')], [path]) == overlap_of([path], []) == Overlap([], [])


def test_images_in_a_storage_are_compared_by_address():
    shared = overlap_of(['s3://b/a.jpg', 's3://b/c.jpg'], ['s3://b/c.jpg', 's3://b/d.jpg'], is_local=False)
    assert shared == Overlap([('s3://b/c.jpg', 's3://b/c.jpg')], [])


def test_few_of_many_are_tolerated():
    assert is_tolerated(0, 10)
    assert is_tolerated(5, 1000)
    assert not is_tolerated(1, 100)
    assert not is_tolerated(6, 1000)
