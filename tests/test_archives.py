"""Archives and arrays that are broken, hold objects, or would fill the memory are refused by a ValueError alone."""

import io
import struct
import zipfile

import numpy as np
import pytest

from cssa_mm import archives
from cssa_mm.archives import opened_archive, read_array, read_arrays


def archive_of(path, **members: bytes):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f'{name}.npy', content)
    return path


def saved(array, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def test_arrays_come_back(tmp_path):
    names, scores = np.array(['猫', 'a b']), np.random.default_rng(0).random((2, 3))
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / 'a.npz', names=names, scores=scores, more=np.arange(3))
        found = read_arrays(tmp_path / 'a.npz', 'scores', 'names')
        np.testing.assert_array_equal(found[0], scores)
        assert found[1].tolist() == names.tolist()


def test_an_archive_that_unpacks_to_far_more_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = archive_of(tmp_path / 'a.npz', a=bytes(50_000_000))
    assert path.stat().st_size < 100_000
    with opened_archive(path):
        pass  # small enough for any machine
    monkeypatch.setattr(archives, 'UNPACKED', 2**20)
    monkeypatch.setattr(zipfile.ZipFile, 'open', lambda *a, **k: pytest.fail('it was unpacked'))
    with pytest.raises(ValueError, match='that unpacks to 50,000,000'):
        read_arrays(path, 'a')


def test_members_that_share_their_bytes_count_once(tmp_path, monkeypatch):
    """Such an archive can say that it packs as much as it likes."""
    monkeypatch.setattr(archives, 'UNPACKED', 2**20)
    content = np.random.default_rng(0).bytes(300_000)
    path = tmp_path / 'a.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('a', content)
        archive.filelist += [archive.filelist[0]] * 200
    with pytest.raises(ValueError, match='that unpacks to 60,300,000'), opened_archive(path):
        pass


def header(description: str) -> bytes:
    text = description.encode() + b' ' * (118 - len(description)) + b'\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text


@pytest.mark.parametrize(
    'content',
    [
        b'', b'no array', saved(np.arange(9))[:100], saved(np.array([{}]), allow_pickle=True),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,)}"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        header("{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}") + b'\xff\xff\xff\x7f',
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)"), header('(((((('), header("'" * 3),
    ],
)  # fmt: skip
def test_what_is_no_array_is_a_value_error(tmp_path, content):
    with pytest.raises(ValueError):
        read_array(io.BytesIO(content))
    with pytest.raises(ValueError):
        read_arrays(archive_of(tmp_path / 'a.npz', a=content), 'a')


def test_what_is_no_archive_is_a_value_error(tmp_path):
    np.savez(tmp_path / 'a.npz', a=np.arange(1000))
    whole = (tmp_path / 'a.npz').read_bytes()
    for content in (b'', b'PK\x03\x04', whole[:-30], whole[:200] + b'x' * 50 + whole[250:]):
        (tmp_path / 'b.npz').write_bytes(content)
        with pytest.raises(ValueError):
            read_arrays(tmp_path / 'b.npz', 'a')
    with pytest.raises(ValueError):
        read_arrays(tmp_path / 'a.npz', 'b')
    with pytest.raises(ValueError):
        read_arrays(tmp_path / 'nowhere.npz', 'a')
