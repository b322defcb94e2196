"""What decides whether results are of the same code."""

import os
import shutil

import pytest

from cssa_mm import files
from cssa_mm.errors import ConfigError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of a few files of the package, in place of it."""
    for name in ('files.py', 'semi/sampler.py', 'cli/arguments.py', 'demo/clip/cssa-demo-rn.json'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files.PACKAGE / name, tmp_path / name)
    monkeypatch.setattr(files, 'PACKAGE', tmp_path)
    return tmp_path


@pytest.mark.parametrize('name', ['semi/sampler.py', 'demo/clip/cssa-demo-rn.json', 'semi/new.py'])
def test_code_and_the_demo_clip_are_in_the_hash_of_the_code(package, name):
    before = files.code_digest()
    assert files.code_digest() == before
    with (package / name).open('a') as file:
        file.write('\n')
    assert files.code_digest() != before


def test_a_file_that_moves_is_other_code(package):
    before = files.code_digest()
    (package / 'semi' / 'sampler.py').rename(package / 'semi' / 'batches.py')
    assert files.code_digest() != before


@pytest.mark.parametrize(
    'name',
    ['cli/arguments.py', 'visualization/style.py', 'configs/cssa_demo.py', 'semi/sampler.pyc', '.sampler.py.swp'],
)
def test_what_changes_no_result_is_not_in_the_hash_of_the_code(package, name):
    before = files.code_digest()
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).write_text('changed')
    assert files.code_digest() == before


def test_the_facts_of_a_file_change_with_its_size_and_time(tmp_path):
    path = tmp_path / 'photo.jpg'
    assert files.file_facts(path) == 'unreachable'
    path.write_bytes(b'12')
    os.utime(path, ns=(5, 7))
    assert files.file_facts(path) == '2 7'


# -- folders -----------------------------------------------------------------------------------------------------


def listed(path) -> list[str]:
    return sorted(found.relative_to(path).as_posix() for found in path.rglob('*'))


@pytest.mark.parametrize('is_there', [False, True])
def test_a_new_folder_is_there_as_a_whole(tmp_path, is_there):
    out = tmp_path / 'deep' / 'out'
    if is_there:
        out.mkdir(parents=True)
    with files.new_folder(out) as partial:
        (partial / 'a.txt').write_text('a')
        assert not out.exists() or listed(out) == []
    assert listed(tmp_path) == ['deep', 'deep/out', 'deep/out/a.txt']


def test_a_folder_that_fails_leaves_nothing(tmp_path):
    def fail():
        with files.new_folder(tmp_path / 'out') as partial:
            (partial / 'a.txt').write_text('a')
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert listed(tmp_path) == []


def test_a_folder_that_holds_something_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'mine.txt').touch()
    with pytest.raises(ConfigError, match='which holds something'), files.new_folder(tmp_path / 'out'):
        pytest.fail('no work is done')
    (tmp_path / 'file').touch()
    with pytest.raises(ConfigError, match='expected a folder'), files.new_folder(tmp_path / 'file', replaces=True):
        pytest.fail('no work is done')


def test_only_the_named_parts_of_a_folder_are_replaced(tmp_path):
    out = tmp_path / 'out'
    (out / 'images').mkdir(parents=True)
    for name in ('images/old.jpg', 'labels.csv', 'test.csv', 'mine.txt'):
        (out / name).write_text('old')
    with files.new_folder(out, replaces=True, parts=('labels.csv', 'test.csv', 'images')) as partial:
        (partial / 'images').mkdir()
        (partial / 'images' / 'new.jpg').touch()
        (partial / 'labels.csv').write_text('new')
    assert listed(tmp_path) == ['out', 'out/images', 'out/images/new.jpg', 'out/labels.csv', 'out/mine.txt']
    assert (out / 'labels.csv').read_text() == 'new'
