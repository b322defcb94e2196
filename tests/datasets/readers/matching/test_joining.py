"""Paths of a table against the images of a folder: found by one rule, never a wrong file of the same name."""

import os
import time
import unicodedata

import numpy as np
import pytest

from cssa_mm.datasets.images.image_folder import ImageFolder
from cssa_mm.datasets.readers.label_table import TableRow, table_of_rows
from cssa_mm.datasets.readers.matching.joining import images_of, join_rows
from cssa_mm.datasets.readers.understanding import Understanding
from cssa_mm.errors import DataError
from cssa_mm.names import one_form


def folder_of(*names: str, root: str = '/srv/photos') -> ImageFolder:
    return ImageFolder(root, '', {name: name for name in sorted(names)})


def table_of(*paths: str):
    rows = [TableRow(path, {'cat': 1}, 0, f't.csv, line {number}') for number, path in enumerate(paths, 2)]
    return table_of_rows(rows, Understanding('t.csv'))


def match(paths, *names: str, root: str = '/srv/photos') -> list[str]:
    paths = [paths] if isinstance(paths, str) else paths
    return images_of(table_of(*paths), folder_of(*names, root=root))


def refused(paths, *names: str, root: str = '/srv/photos') -> str:
    with pytest.raises(DataError) as caught:
        match(paths, *names, root=root)
    assert '\n' not in str(caught.value)
    return str(caught.value)


NESTED = ['1.jpg', '2.jpg', '0a1b2c3d-2.jpg', 'b/1.jpg', 'c/b/2.jpg', '7/0a1b2c3d-3.jpg', 'd/x.jpg']


@pytest.mark.parametrize(
    ('path', 'expected'),
    [
        # As it is written, or counted from the folder.
        ('b/1.jpg', 'b/1.jpg'),
        ('./b\\1.jpg', 'b/1.jpg'),
        ('b/../1.jpg', '1.jpg'),
        ('/srv/photos/b/1.jpg', 'b/1.jpg'),
        ('/srv/photos/1.jpg', '1.jpg'),
        ('photos/1.jpg', '1.jpg'),
        # A directory that the image folder has.
        ('/data/local-files/?d=a%2Fb%2F1.jpg', 'b/1.jpg'),
        ('https://host/b/1.jpg?d=1', 'b/1.jpg'),
        ('C:\\pictures\\b\\1.jpg', 'b/1.jpg'),
        ('\\\\server\\share\\b\\1.jpg', 'b/1.jpg'),
        ('/data/local-files/?d=disk/c/b/2.jpg', 'c/b/2.jpg'),
        ('gs://bucket/all/c/b/2.jpg', 'c/b/2.jpg'),
        # The folder itself.
        ('/data/local-files/?d=disk/photos/1.jpg', '1.jpg'),
        ('/data/local-files/?d=disk/photos/b/1.jpg', 'b/1.jpg'),
        ('/content/drive/MyDrive/photos/1.jpg', '1.jpg'),
        # No directory at all.
        ('s3://bucket/1.jpg', '1.jpg'),
        ('1.jpg', '1.jpg'),
        ('x.jpg', 'd/x.jpg'),
        # Less than the folder has.
        ('b/2.jpg', 'c/b/2.jpg'),
        # Uploads.
        ('/data/upload/7/0a1b2c3d-2.jpg', '0a1b2c3d-2.jpg'),
        ('/data/upload/7/0a1b2c3d-3.jpg', '7/0a1b2c3d-3.jpg'),
        ('/data/upload/9/0a1b2c3d-x.jpg', 'd/x.jpg'),
        ('/data/upload/0a1b2c3d-x.jpg', 'd/x.jpg'),
        ('https://host/data/upload/7/0a1b2c3d-x.jpg', 'd/x.jpg'),
        ('../../label-studio/data/media/upload/7/0a1b2c3d-x.jpg', 'd/x.jpg'),
        # Another case, no extension.
        ('B/1.JPG', 'b/1.jpg'),
        ('d/X', 'd/x.jpg'),
        ('x', 'd/x.jpg'),
        ('C:\\pictures\\D\\X', 'd/x.jpg'),
    ],
)
def test_an_image_is_found_where_its_path_says(path, expected):
    if path == 'b/2.jpg':
        assert match(path, *[name for name in NESTED if not name.startswith('b/')]) == [expected]
    else:
        assert match(path, *NESTED) == [expected]


@pytest.mark.parametrize(
    'path',
    [
        'shopB/1.jpg',
        's3://bucket/all/1.jpg',
        '/data/local-files/?d=disk/shop/1.jpg',
        '/data/local-files/?d=disk/c/b/1.jpg',  # b/1.jpg is another image
        '/data/local-files/?d=disk/b/2.jpg',
        'b/2.jpg',  # c/b/2.jpg is another image
        'C:\\pictures\\c\\x.jpg',
        '/data/upload/7/0a1b2c3d-9.jpg',
        '/somewhere/0a1b2c3d-1.jpg',
        '0a1b2c3d-1.jpg',
        '/data/upload/x/1.jpg',
        'x.png',
        '',
        'b/',
    ],
)
def test_another_image_of_the_same_name_is_never_taken(path):
    assert 'but no such image in' in refused(path, *NESTED)


def test_a_name_that_fits_several_images_is_refused_with_them():
    line = refused('1.jpg', 'north/1.jpg', 'south/1.jpg')
    assert line == (
        "t.csv, line 2: found '1.jpg', which fits 2 images of '/srv/photos' ('north/1.jpg', 'south/1.jpg'), expected a "
        'path that tells which; write the directory or the extension, too, or set img_dir.'
    )
    assert "fits 2 images of '/srv/photos' ('a.jpg', 'a.png')" in refused('a', 'a.jpg', 'a.png')
    assert "fits 2 images of '/srv/photos' ('A.jpg', 'a.jpg')" in refused('a.JPG', 'a.jpg', 'A.jpg')
    assert "fits 2 images of '/srv/photos' ('1.jpg', 'b/1.jpg')" in refused('/data/upload/7/0a1b2c3d-1.jpg', *NESTED)


@pytest.mark.parametrize(
    ('name', 'stored'),
    [
        ('photo 2.jpg', 'photo_2.jpg'),
        ("Tom's photo (2).jpg", 'Toms_photo_2.jpg'),
        ('größe, 猫.jpg', 'größe_猫.jpg'),
        ('gro\u0308ße.jpg', 'große.jpg'),  # sent by a Mac: the mark is a sign of its own there
        ('größe.jpg', 'große.jpg'),
    ],
)
def test_an_upload_is_found_by_the_name_that_the_server_gave_it(name, stored):
    image_id = one_form(name)
    assert match(f'/data/upload/7/0a1b2c3d-{stored}', image_id, 'other.jpg', 'b/1.jpg') == [image_id]
    line = refused(f'/data/upload/7/0a1b2c3d-{stored}', image_id, stored)
    assert 'fits 2 images' in line
    assert 'but no such image' in refused(f'/data/7/{stored}', image_id, 'other.jpg')  # no upload


def test_in_a_folder_without_directories_the_name_decides():
    paths = ['C:\\data\\north\\1.jpg', '/content/drive/south/2.jpg', 'images/3.jpg', 'https://host/x/4%20a.jpg?w=1']
    assert match(paths, '1.jpg', '2.jpg', '3.jpg', '4 a.jpg') == ['1.jpg', '2.jpg', '3.jpg', '4 a.jpg']


def test_two_photos_of_one_name_are_not_joined():
    line = refused(['C:\\data\\north\\1.jpg', 'C:\\data\\south\\1.jpg'], '1.jpg', '2.jpg')
    assert (
        "line 3: found 'C:\\data\\south\\1.jpg', which leads to the image '1.jpg' as 'C:\\data\\north\\1.jpg' does"
        in line
    )
    assert '(t.csv, line 2)' in line
    refused(['1.jpg', 'north/1.jpg'], '1.jpg', '2.jpg')
    refused(['a.jpg', 'A.jpg'], 'a.jpg')
    refused(['/data/upload/7/0a1b2c3d-1.jpg', '/data/upload/7/99999999-1.jpg'], '1.jpg')
    refused(['s3://a/1.jpg', 's3://b/1.jpg'], '1.jpg')
    refused(['C:/2023/b/1.jpg', 'C:/2024/b/1.jpg'], 'b/1.jpg', 'b/2.jpg')
    assert match(['s3://a/1.jpg', '1.jpg'], '1.jpg', root='s3://a') == ['1.jpg'] * 2
    # The same path in another form is the same image.
    assert match(['1.jpg', './1.jpg', 'photos/1.jpg', '/srv/photos/1.jpg'], '1.jpg') == ['1.jpg'] * 4


def test_a_directory_contradicts_a_file_of_another_one():
    for path in ('C:\\data\\north\\1.jpg', 'north/1.jpg', 's3://bucket/north/1.jpg'):
        refused(path, 'south/1.jpg', 'south/2.jpg')
        refused([path, path.replace('1', '2')], 'south/1.jpg', 'south/2.jpg')


def test_rows_with_directories_confirm_what_is_cut_off():
    names = ['1.jpg', 'b/2.jpg', 'c/3.jpg']
    assert match(['D:\\all\\1.jpg', 'D:\\all\\b\\2.jpg'], *names) == ['1.jpg', 'b/2.jpg']
    refused(['D:\\old\\1.jpg', 'D:\\all\\b\\2.jpg'], *names)


def test_one_directory_of_all_rows_can_be_cut_off_where_no_name_is_doubled():
    names = ['1.jpg', '2.jpg', '3.jpg', 'extra/9.jpg']
    assert match(['/content/all/1.jpg', '/content/all/2.jpg'], *names) == ['1.jpg', '2.jpg']
    refused(['/content/all/1.jpg', '/content/more/2.jpg'], *names)
    refused(['/content/all/1.jpg', '/content/all/2.jpg'], *names, 'extra/2.jpg')
    refused(['/content/all/1.jpg', '/content/all/3.jpg', '2.jpg'], *names)
    refused(['/content/all/1.jpg', '/content/all/7.jpg'], *names)


def test_the_rule_is_a_fact():
    def fact(paths, *names):
        table = table_of(*paths)
        images_of(table, folder_of(*names))
        return table.understanding.facts['images']

    assert fact(['1.jpg', '2.jpg'], '1.jpg', '2.jpg') == 'found as written (2 of 2 rows)'
    assert fact(['C:\\x\\1.jpg', 'C:\\x\\2.jpg', '3.jpg'], '1.jpg', '2.jpg', '3.jpg') == (
        "found by the end of the path (2 of 3 rows), as written (1 of 3 rows); left off: 'C:/x'"
    )
    assert fact(['gs://x/1.jpg'], '1.jpg') == 'found by the path in the address (1 of 1 rows)'
    assert fact(['1', 'A.jpg'], '1.jpg', 'a.jpg') == (
        'found without the extension (1 of 2 rows), without regard to case (1 of 2 rows)'
    )


def test_names_are_compared_in_one_unicode_form():
    name = 'café.jpg'
    for written, there in ((unicodedata.normalize('NFD', name), name), (name, unicodedata.normalize('NFD', name))):
        assert match(['x/' + written], there) == [there]
        assert match([written], there) == [there]


def test_a_directory_that_is_there_beside_the_image_folder_is_another_one(tmp_path):
    for directory in ('train', 'test'):
        (tmp_path / directory).mkdir()
    root = str(tmp_path / 'test')
    assert 'no such image' in refused('train/1.jpg', '1.jpg', root=root)
    assert match('elsewhere/1.jpg', '1.jpg', root=root) == ['1.jpg']
    (tmp_path / 'train' / '1.jpg').write_text('')
    assert 'leaves the image folder' in refused(str(tmp_path / 'train' / '1.jpg'), '1.jpg', root=root)
    assert match('/nowhere/train/2.jpg', '2.jpg', root=root) == ['2.jpg']
    assert 'no such image' in refused('/nowhere/train/1.jpg', '1.jpg', root=root)
    assert 'no such image' in refused(['/nowhere/train/2.jpg', '/nowhere/train/1.jpg'], '1.jpg', '2.jpg', root=root)
    (tmp_path / 'far' / 'off').mkdir(parents=True)
    (tmp_path / 'far' / 'off' / '1.jpg').write_text('')
    paths = [str(tmp_path / 'far' / 'off' / name) for name in ('2.jpg', '1.jpg')]
    assert match(paths[0], '1.jpg', '2.jpg', root=str(tmp_path / 'x' / 'test')) == ['2.jpg']
    assert 'leaves the image folder' in refused(paths, '1.jpg', '2.jpg', root=str(tmp_path / 'x' / 'test'))


def test_links_lead_to_the_images(tmp_path):
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'disk' / '1.jpg').write_text('')
    (tmp_path / 'link').symlink_to('disk')
    assert match(str(tmp_path / 'disk' / '1.jpg'), '1.jpg', root=str(tmp_path / 'link')) == ['1.jpg']
    (tmp_path / 'links').mkdir()
    os.symlink(tmp_path / 'disk' / '1.jpg', tmp_path / 'links' / '1.jpg')
    assert match(str(tmp_path / 'disk' / '1.jpg'), '1.jpg', root=str(tmp_path / 'links')) == ['1.jpg']


@pytest.mark.parametrize('path', ['../1.jpg', 'b/../../1.jpg', '..\\1.jpg', '..'])
def test_a_path_that_leaves_the_folder_is_refused(path):
    assert f"line 2: found the path '{path}', which leaves the image folder '/srv/photos'" in refused(path, '1.jpg')


def test_an_image_that_is_missing_is_named_with_the_number_and_the_nearest():
    line = refused(['1.jpg', 'deep/e.web', 'x'], '1.jpg', 'deep/e.webp')
    assert line == (
        "t.csv, line 3: found 'deep/e.web', but no such image in '/srv/photos' (2 of 3 are missing), expected every "
        "image that the file lists. Did you mean 'deep/e.webp'? Correct the path or img_dir, add the image, or take it "
        'out of the file.'
    )
    assert 'None is there: img_dir looks wrong.' in refused(['8.jpg', '9.jpg'], '1.jpg')
    assert "It is not '3.jpg', which lies in no folder of that path." in refused('b/3.jpg', '3.jpg', 'c/4.jpg')


def test_rows_of_one_image_are_joined_or_compared():
    table = table_of('1.jpg', '1.jpg')
    labels = np.array([[1, 0, -1], [0, -1, -1]], dtype=np.int8)
    assert join_rows(table, ['1.jpg', '1.jpg'], labels)['1.jpg'].tolist() == [1, 0, -1]
    table.is_split = False
    assert join_rows(table, ['1.jpg', '1.jpg'], labels * [[1], [0]] - [[0], [1]])['1.jpg'].tolist() == [1, 0, -1]
    with pytest.raises(DataError, match="line 3: found image id '1.jpg' again"):
        join_rows(table, ['1.jpg', '1.jpg'], labels)


def test_a_hundred_thousand_paths_of_another_machine_take_seconds():
    count = 100_000
    folder = folder_of(*(f'{number // 1000}/{number}.jpg' for number in range(count)))
    table = table_of(*(f'C:\\data\\all\\{number // 1000}\\{number}.jpg' for number in range(count)))
    start = time.process_time()
    found = images_of(table, folder)
    assert time.process_time() - start < 10
    assert found == [f'{number // 1000}/{number}.jpg' for number in range(count)]
