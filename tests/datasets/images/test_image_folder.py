"""What a folder holds and what it leaves out, on folders that the tests lay out themselves."""

import os
import unicodedata

import numpy as np
import pytest
from mmengine.fileio import LocalBackend
from PIL import Image

from cssa_mm.datasets.images import image_folder, image_formats
from cssa_mm.datasets.images.image_folder import list_images
from cssa_mm.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
HEIC = b'\0\0\0\x18ftypheic'
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, 'Café') for form in ('NFC', 'NFD'))


@pytest.fixture
def root(tmp_path):
    return tmp_path / 'images'


@pytest.fixture(autouse=True)
def no_heif(monkeypatch):
    """As where pillow-heif is not installed."""
    monkeypatch.setattr(image_folder, 'has_heif', lambda: False)


def put(path, form=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS).save(path, form)


def write(path, content=b'x'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def listed(root, directory='.'):
    return list_images(LocalBackend(), str(root), directory)


def ids(root):
    return list(listed(root).image_ids)


# -- which files are images ------------------------------------------------------------------------------------


FORMS = dict(
    JFIF='JPEG', jpe='JPEG', jp2='JPEG2000', tga='TGA', pcx='PCX', dds='DDS', ico='ICO', MPO='JPEG', j2k='JPEG2000',
    bmp='BMP', webp='WEBP', tif='TIFF', pgm='PPM',
)  # fmt: skip


@pytest.mark.parametrize('suffix', FORMS)
def test_every_extension_that_pillow_reads_is_taken(root, suffix):
    put(root / f'a.{suffix}', FORMS[suffix])
    assert ids(root) == [f'a.{suffix}']


def test_avif_is_taken_or_left_out_by_what_this_pillow_reads(root):
    write(root / 'a.avif')
    folder = listed(root)
    is_read = 'AVIF' in image_formats.readable_formats()
    assert list(folder.image_ids) == (['a.avif'] if is_read else [])
    assert folder.left_out == ({} if is_read else {image_formats.OTHER: ['a.avif']})


@pytest.mark.parametrize('name', ['photo', 'photo.JPG_original', '12.5', 'photo.jpg@large', 'a.jpg~'])
@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
def test_files_without_a_known_extension_are_taken_by_content(root, name, form):
    put(root / name, form)
    assert ids(root) == [name]


def test_text_that_begins_like_an_image_is_none(root):
    write(root / 'Poem', b'P5 ways of looking at a blackbird')  # Portable greymaps begin so
    write(root / 'Memo.x', b'BMW, and other cars')
    put(root / 'a.png')
    folder = listed(root)
    assert list(folder.image_ids) == ['a.png']
    assert folder.left_out == {image_formats.UNKNOWN: ['Memo.x', 'Poem']}


def test_known_extensions_are_not_opened(root, monkeypatch):
    for name in ('a.jpg', 'b.PNG', 'c.csv', 'd.json', 'e.heic', 'f.nef'):
        write(root / name, b'nothing of this kind')
    monkeypatch.setattr('builtins.open', lambda *args, **options: pytest.fail(f'{args[0]} was opened'))
    assert ids(root) == ['a.jpg', 'b.PNG']


def test_what_is_left_out_is_named_by_reason(root):
    put(root / 'a.jpg')
    write(root / 'x' / 'IMG_1.HEIC', HEIC)
    write(root / 'IMG_2', HEIC)
    for name in ('scan.pdf', 'logo.svg', 'raw.CR2', 'film.mp4', 'plot.eps'):
        write(root / name)
    write(root / 'odd.xyz')
    for name in ('labels.csv', 'a.xml', 'a.txt', 'data.yaml', 'Thumbs.db', '.hidden.jpg', '._a.jpg', 'README'):
        write(root / name)
    write(root / '__MACOSX' / 'b.jpg')
    write(root / '.thumbnails' / 'b.jpg')
    folder = listed(root)
    assert list(folder.image_ids) == ['a.jpg']
    assert folder.left_out == {
        image_formats.HEIF: ['IMG_2', 'x/IMG_1.HEIC'],
        image_formats.OTHER: ['film.mp4', 'logo.svg', 'plot.eps', 'raw.CR2', 'scan.pdf'],
        image_formats.UNKNOWN: ['odd.xyz'],
    }
    assert 'pip install pillow-heif' in folder.reason_left_out('x/IMG_1.HEIC')
    assert 'convert them to JPEG' in folder.reason_left_out('raw.CR2')
    assert "extension '.csv'" in folder.reason_left_out('labels.csv')
    assert 'hidden' in folder.reason_left_out('.thumbnails/b.jpg')
    assert folder.reason_left_out('a.jpg') is None
    assert folder.reason_left_out('missing.jpg') is None


def test_heic_is_taken_where_it_can_be_read(root, monkeypatch):
    monkeypatch.setattr(image_folder, 'has_heif', lambda: True)
    write(root / 'IMG.HEIC', HEIC)
    assert ids(root) == ['IMG.HEIC']


def test_a_storage_that_is_only_listed_goes_by_extensions():
    class Bucket:
        def list_dir_or_file(self, *args, **options):
            return iter(['b/c.jpg', 'a.png', 'plain', '.x/d.jpg', 'e.heic', 'f.csv'])

    folder = list_images(Bucket(), 's3://bucket')
    assert list(folder.image_ids) == ['a.png', 'b/c.jpg']
    assert folder.left_out == {image_formats.HEIF: ['e.heic'], image_folder.UNOPENED: ['plain']}


# -- links, loops and rights -----------------------------------------------------------------------------------


@pytest.fixture
def linked(root, tmp_path):
    """Photos in two folders, one of them linked from elsewhere, and links in circles."""
    put(root / 'b' / 'x.jpg')
    put(tmp_path / 'elsewhere' / 'deep' / 'y.jpg')
    (root / 'a').mkdir()
    (root / 'a' / 'loop').symlink_to(root)
    (root / 'a' / 'to_b').symlink_to('../b')
    (root / 'b' / 'to_a').symlink_to('../a')
    (root / 'link').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'elsewhere' / 'back').symlink_to(root)
    (root / 'copy.jpg').symlink_to('b/x.jpg')
    return root


def test_links_are_followed_and_circles_listed_once(linked):
    folder = listed(linked)
    assert list(folder.image_ids) == ['b/x.jpg', 'copy.jpg', 'link/deep/y.jpg']
    assert folder.aliases == {'a/loop': '', 'a/to_b': 'b', 'b/to_a': 'a', 'link/back': ''}


@pytest.mark.parametrize(
    'name', ['b/x.jpg', 'a/to_b/x.jpg', 'a/loop/b/x.jpg', 'a/loop/a/loop/b/x.jpg', 'link/back/a/to_b/x.jpg']
)
def test_an_image_is_found_through_every_link(linked, name):
    assert (linked / name).exists()
    assert listed(linked).id_of(name) == 'b/x.jpg'


def test_a_link_to_what_the_folder_lies_in_lists_it_once(root):
    put(root / 'a' / 'x.jpg')
    put(root.parent / 'y.jpg')
    (root / 'up').symlink_to('..')
    assert ids(root) == ['a/x.jpg', 'up/y.jpg']


def test_a_linked_root_is_a_root(linked, tmp_path):
    (tmp_path / 'way').symlink_to(linked)
    assert ids(tmp_path / 'way') == ids(linked)


def test_dead_links_are_named(root):
    put(root / 'a.jpg')
    (root / 'b.jpg').symlink_to('nowhere.jpg')
    (root / 'c.jpg').symlink_to('c.jpg')
    (folder,) = [listed(root)]
    assert list(folder.image_ids) == ['a.jpg']
    assert [sorted(names) for names in folder.left_out.values()] == [['b.jpg', 'c.jpg']]


def test_a_directory_below_the_root_has_its_prefix(root):
    put(root / 'a.jpg')
    put(root / 'b' / f'{DECOMPOSED}.jpg')
    write(root / 'b' / 'c.pdf')
    (root / 'b' / 'loop').symlink_to('.')
    folder = listed(root, 'b')
    assert folder.image_ids == {f'b/{COMPOSED}.jpg': f'b/{DECOMPOSED}.jpg'}
    assert folder.left_out == {image_formats.OTHER: ['b/c.pdf']}
    assert folder.id_of(f'b/loop/loop/{DECOMPOSED}.jpg') == f'b/{COMPOSED}.jpg'


def test_a_directory_that_may_not_be_read_is_an_error(root, monkeypatch):
    put(root / 'sub' / 'a.jpg')
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith('sub'):
            raise PermissionError(13, 'Permission denied')
        return scandir(path)

    monkeypatch.setattr('os.scandir', refuse)  # root may read everything
    with pytest.raises(DataError, match=r'sub: cannot be listed \(Permission denied\), expected a directory that may'):
        listed(root)


def test_a_folder_that_may_not_be_written_is_read(root):
    put(root / 'a.jpg')
    root.chmod(0o555)
    try:
        assert ids(root) == ['a.jpg']
    finally:
        root.chmod(0o755)


def test_a_missing_folder_is_an_error(root):
    with pytest.raises(DataError, match=r'images: cannot be listed \(No such file or directory\)'):
        listed(root)


# -- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('stored', [COMPOSED, DECOMPOSED])
def test_names_of_both_unicode_forms_are_found(root, stored):
    put(root / stored / f'{stored} 1.jpg')
    folder = listed(root)
    image_id = f'{COMPOSED}/{COMPOSED} 1.jpg'
    assert list(folder.image_ids) == [image_id]
    assert folder.id_of(f'{DECOMPOSED}/{DECOMPOSED} 1.jpg') == image_id
    assert (root / folder.path_of(image_id)).is_file()


def test_names_with_other_blanks_are_found(root):
    put(root / 'Screenshot 10.12\u202fPM.png')
    folder = listed(root)
    assert list(folder.image_ids) == ['Screenshot 10.12 PM.png']
    assert (root / folder.path_of('Screenshot 10.12 PM.png')).is_file()


def test_files_that_differ_in_form_alone_are_an_error(root):
    for name in (COMPOSED, DECOMPOSED):
        put(root / f'{name}.jpg')
    if len(os.listdir(root)) < 2:
        pytest.skip('this file system holds one form only')
    with pytest.raises(DataError, match=r"images: found 'Cafe\\u0301.jpg' and 'Caf\\xe9.jpg', whose names differ"):
        listed(root)


def test_names_that_are_no_text_are_left_out(root):
    put(root / 'a.jpg')
    try:
        os.rename(root / 'a.jpg', os.fsencode(root) + b'/caf\xe9.jpg')
    except OSError:
        pytest.skip('this file system holds text only')
    folder = listed(root)
    assert (folder.image_ids, folder.left_out) == ({}, {image_folder.NO_TEXT: ['caf\\xe9.jpg']})


def test_ids_are_sorted_and_complete(root):
    rng = np.random.default_rng(0)
    names = {f'{a}/{b}.jpg' for a, b in rng.integers(0, 30, (200, 2))} | {'z.jpg', 'A.jpg'}
    for name in names:
        write(root / name)
    assert ids(root) == sorted(names)
