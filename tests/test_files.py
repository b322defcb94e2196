"""What decides whether results are of the same code."""

import os
import shutil

import pytest

from cssa_mm import files


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
