"""Images get names in one folder, and are linked or copied there."""

import os

import pytest

from cssa_mm.datasets.images.image_copies import flat_names, place_images
from cssa_mm.errors import DataError


def test_file_names_are_kept_where_they_are_different():
    assert flat_names(['/x/a/1.jpg', '/x/b/2.jpg']) == ['1.jpg', '2.jpg']


@pytest.mark.parametrize('second', ['1.jpg', '1.JPG'])
def test_all_keep_their_folders_where_two_would_be_one(second):
    """On a disk that ignores case, 1.jpg and 1.JPG are one file."""
    names = flat_names(['/x/a/1.jpg', f'/x/b/{second}', '/x/c.jpg'])
    assert names == ['a/1.jpg', f'b/{second}', 'c.jpg']


def test_the_same_letter_in_two_forms_is_one_name():
    assert flat_names(['/x/a/\u00e9.jpg', '/x/b/e\u0301.jpg']) == ['a/\u00e9.jpg', 'b/e\u0301.jpg']


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / 'source' / '1.jpg'
    path.parent.mkdir()
    path.write_bytes(b'pixels')
    return path


def test_images_are_linked_so_that_they_need_no_space(photo, tmp_path):
    assert place_images([photo], ['sub/1.jpg'], tmp_path / 'out', is_copied=False) == ['hard links']
    assert (tmp_path / 'out' / 'sub' / '1.jpg').samefile(photo)


def test_a_link_is_followed_to_its_image(photo, tmp_path):
    link = tmp_path / 'link.jpg'
    link.symlink_to(photo)
    place_images([link], ['1.jpg'], tmp_path / 'out', is_copied=False)
    target = tmp_path / 'out' / '1.jpg'
    assert target.samefile(photo)
    assert not target.is_symlink()


def test_where_no_hard_link_can_be_a_symbolic_one_is_and_else_a_copy(photo, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError('another disk')

    monkeypatch.setattr(os, 'link', fails)
    assert place_images([photo], ['1.jpg'], tmp_path / 'a', is_copied=False) == ['symbolic links']
    assert (tmp_path / 'a' / '1.jpg').samefile(photo)
    monkeypatch.setattr('pathlib.Path.symlink_to', fails)
    assert place_images([photo], ['1.jpg'], tmp_path / 'b', is_copied=False) == ['copies']
    assert (tmp_path / 'b' / '1.jpg').read_bytes() == b'pixels'


def test_copies_have_a_life_of_their_own(photo, tmp_path):
    assert place_images([photo], ['1.jpg'], tmp_path / 'out', is_copied=True) == ['copies']
    photo.write_bytes(b'changed')
    assert (tmp_path / 'out' / '1.jpg').read_bytes() == b'pixels'


def test_an_image_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r'gone.jpg: cannot be put into'):
        place_images([tmp_path / 'gone.jpg'], ['1.jpg'], tmp_path / 'out', is_copied=True)
