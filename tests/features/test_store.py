"""Shards on disk. Oracle: the tensors that were written."""

import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest
import torch
from safetensors import SafetensorError

from cssa_mm.errors import DataError
from cssa_mm.features import store
from cssa_mm.features.store import FeatureStore


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 5, 16, generator=generator), torch.randn(4, 16, generator=generator).half()


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_found_by_its_key_and_mapped(tensors, tmp_path):
    local, pooled = tensors
    writer = FeatureStore(tmp_path / 'new')
    writer.write(['a', 'b'], local[:2], pooled[:2], {'b': 'truncated'})
    writer.write(['c', 'd'], local[2:], pooled[2:], {})
    assert writer.places == {}
    for _ in range(2):  # the second time there is nothing new
        writer.refresh()
    assert len(writer.shards) == 2
    reader = FeatureStore(tmp_path / 'new')
    for each in (writer, reader):
        for row, key in enumerate('abcd'):
            number, place = each.places[key]
            assert torch.equal(each.shards[number][0][place], local[row])
            assert torch.equal(each.shards[number][1][place], pooled[row])
        assert each.bad == {'b': 'truncated'}
    reader.forget_bad()
    assert set(reader.places) == set('acd')
    writer.write(['e', 'f'], local[:2], pooled[:2], {'f': 'empty'})
    reader.refresh()
    assert set(reader.places) == set('acde')


def test_two_that_write_the_same_views_write_one_file_and_a_view_that_is_twice_there_is_read_once(tensors, tmp_path):
    for _ in range(2):
        FeatureStore(tmp_path).write(['a', 'b'], tensors[0][:2], tensors[1][:2], {})
    assert len(names(tmp_path)) == 1
    FeatureStore(tmp_path).write(['b', 'c'], tensors[0][1:3], tensors[1][1:3], {})
    found = FeatureStore(tmp_path)
    assert (set(found.places), len(found.shards)) == (set('abc'), 2)


def test_shards_without_keys_or_of_another_length_are_left_out_and_removed(tensors, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(store, 'print_log', lambda line, *_: said.append(line))
    FeatureStore(tmp_path).write(['a', 'b'], tensors[0][:3], tensors[1][:3], {})
    store.save_file({'local': tensors[0]}, tmp_path / 'other.safetensors')
    assert FeatureStore(tmp_path).places == {}
    assert len(said) == 2
    assert 'found no readable features (2 keys for features of shapes (3, 5, 16) and (3, 16))' in said[0] + said[1]
    assert names(tmp_path) == []


@pytest.mark.parametrize('place', ['keys', 'bad', 'local', 'global', 'in the middle', 'last'])
def test_a_changed_bit_is_found_and_its_shard_removed_with_one_line(tensors, tmp_path, monkeypatch, place):
    said = []
    monkeypatch.setattr(store, 'print_log', lambda line, *_: said.append(line))
    writer = FeatureStore(tmp_path)
    writer.write(['other'], tensors[0][:1], tensors[1][:1], {})
    writer.write(['aaaa', 'bbbb'], tensors[0][:2], tensors[1][:2], {'bbbb': 'truncated'})
    (path,) = (path for path in tmp_path.iterdir() if b'aaaa' in path.read_bytes())
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], 'little')
    offsets = json.loads(content[8:start])
    where = {
        'keys': content.index(b'aaaa'),
        'bad': content.index(b'truncated'),
        'in the middle': start + (len(content) - start) // 2,
        'last': len(content) - 1,
    } | {name: start + offsets[name]['data_offsets'][0] for name in ('local', 'global')}
    content[where[place]] ^= 1
    path.write_bytes(content)
    found = FeatureStore(tmp_path)
    assert set(found.places) == {'other'}
    assert found.bad == {}
    assert len(said) == 1
    assert f'{path}: found no readable features (other contents than its checksum says); it is removed' in said[0]
    assert not path.exists()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_whole_shards_of_every_type_and_those_without_a_checksum_are_read(tensors, tmp_path, monkeypatch, dtype):
    local, pooled = (tensor.to(dtype) for tensor in tensors)
    FeatureStore(tmp_path).write(['a', 'b'], local.transpose(0, 1)[:2], pooled[:2], {})
    save = store.save_file
    monkeypatch.setattr(
        store, 'save_file', lambda content, path, metadata: save(content, path, dict(list(metadata.items())[:2]))
    )
    FeatureStore(tmp_path).write(['c', 'd'], local[2:], pooled[2:], {})
    assert set(FeatureStore(tmp_path).places) == set('abcd')


def test_a_shard_that_another_process_removes_meanwhile_is_left_out(tensors, tmp_path, monkeypatch):
    FeatureStore(tmp_path).write(['a'], tensors[0][:1], tensors[1][:1], {})
    listed = tuple(tmp_path.iterdir())
    monkeypatch.setattr(store.Path, 'glob', lambda *_: iter(listed))
    listed[0].unlink()
    assert FeatureStore(tmp_path).places == {}


def test_what_was_written_aside_is_no_shard_and_removed_once_it_is_old(tensors, tmp_path):
    writer = FeatureStore(tmp_path)
    for name, age in (
        ('.old.1.tmp.safetensors', 2 * store.LEFT_OVER),
        ('.new.2.tmp.safetensors', 0),
        ('.old.claim', 2 * store.LEFT_OVER),
        ('.new.claim', 0),
    ):
        (tmp_path / name).write_bytes(b'half')
        stamp = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (stamp, stamp))
    writer.refresh()
    writer.remove_left_overs()
    assert (writer.places, names(tmp_path)) == ({}, ['.new.2.tmp.safetensors', '.new.claim'])


def test_a_claim_holds_against_others_and_leaves_nothing(tmp_path):
    one, other = FeatureStore(tmp_path), FeatureStore(tmp_path)
    with one.claimed(['a', 'b'], may_wait=False) as is_mine:
        assert is_mine
        for keys, expected in ((['a', 'b'], False), (['c'], True)):
            with other.claimed(keys, may_wait=False) as is_theirs:
                assert is_theirs is expected
    with other.claimed(['a', 'b'], may_wait=False) as is_theirs:
        assert is_theirs
    assert names(tmp_path) == []


def test_whoever_waits_for_a_claim_gets_it_when_the_other_process_ends(tmp_path):
    program = f"""
import sys, time
from pathlib import Path
from cssa_mm.features.store import FeatureStore
with FeatureStore(Path({str(tmp_path)!r})).claimed(['a'], may_wait=True):
    print('claimed', flush=True)
    time.sleep(100)
"""
    with subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'claimed\n'
        threading.Timer(0.5, process.kill).start()
        began = time.monotonic()
        with FeatureStore(tmp_path).claimed(['a'], may_wait=True) as is_mine:
            assert is_mine
            assert time.monotonic() - began > 0.3


@pytest.mark.parametrize('error', [NotImplementedError('no flock'), OSError(errno.ENOLCK, 'No locks available')])
def test_where_nothing_can_be_locked_everybody_encodes(tmp_path, monkeypatch, error):
    def acquire(*_, **__):
        raise error

    monkeypatch.setattr(store.FileLock, 'acquire', acquire)
    for _ in range(2):
        with FeatureStore(tmp_path).claimed(['a'], may_wait=False) as is_mine:
            assert is_mine


@pytest.mark.parametrize(
    'failure', [OSError(errno.ENOSPC, 'No space left on device'), SafetensorError('I/O error: ... (os error 28)')]
)
def test_a_full_disk_is_said_in_one_line_and_what_is_there_stays(tensors, tmp_path, monkeypatch, failure):
    writer = FeatureStore(tmp_path)
    writer.write(['a'], tensors[0][:1], tensors[1][:1], {})

    def save(*_, **__):
        raise failure

    monkeypatch.setattr(store, 'save_file', save)
    with pytest.raises(DataError, match='found no space left while features were written, expected .* MiB more'):
        writer.write(['b'], tensors[0][1:2], tensors[1][1:2], {})
    assert set(FeatureStore(tmp_path).places) == {'a'}
    assert len(names(tmp_path)) == 1
