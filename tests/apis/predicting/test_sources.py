"""Which images are predicted, and what they are called."""

import os
import shutil

import pytest
from PIL import Image

from cssa_mm.apis.predicting.sources import facts_of, find_images, natural
from cssa_mm.errors import DataError


def paths_of(found):
    return [os.path.realpath(found.path(position)) for position in range(len(found))]


def test_a_folder_is_read_with_all_below_it_in_the_order_that_people_count(photos):
    (photos / '.hidden').mkdir()
    shutil.copy(photos / 'img0.png', photos / '.hidden' / 'a.png')
    shutil.copy(photos / 'img0.png', photos / '.b.png')
    (photos / 'notes.txt').write_text('no photo')
    (photos / 'movie.mp4').write_text('none either')
    shutil.copy(photos / 'img0.png', photos / 'img10.png')
    found = find_images(photos)
    assert list(found.names) == [*(f'img{n}.png' for n in (*range(8), 10)), 'more/img8.png', 'more/img9.png']
    assert paths_of(found) == [os.path.realpath(photos / name) for name in found.names]
    assert list(found.left_out.values()) == [1]  # the movie; nobody takes the notes for a photo
    assert len(found) == 11


def test_numbers_are_compared_as_numbers():
    names = ['a10b2', 'a9b10', 'a9b9', 'a', 'b1', 'a09b9']
    assert sorted(names, key=natural) == ['a', 'a09b9', 'a9b9', 'a9b10', 'a10b2', 'b1']


@pytest.mark.parametrize(('pattern', 'names'), [
    ('*.png', [f'img{n}.png' for n in range(8)]),
    ('**/*.png', [*(f'img{n}.png' for n in range(8)), 'more/img8.png', 'more/img9.png']),
    ('mo*/img[89].*', ['more/img8.png', 'more/img9.png']),
])  # fmt: skip
def test_names_of_a_pattern_count_from_its_fixed_part(photos, pattern, names):
    (photos / 'img.txt').write_text('no image')
    found = find_images(str(photos / pattern))
    assert list(found.names) == names
    assert paths_of(found) == [os.path.realpath(photos / name) for name in names]


def test_a_list_counts_from_its_folder_and_names_each_image_once(photos):
    lines = ['more/img9.png', '', '# a comment', 'img2.png', './img2.png', str(photos / 'img10.png'), 'gone.png']
    (photos / 'list.txt').write_text('\n'.join(lines))
    found = find_images(photos / 'list.txt')
    assert list(found.names) == ['more/img9.png', 'img2.png', 'img10.png', 'gone.png']  # in the order of the list
    assert found.repeated == 1
    assert paths_of(found) == [os.path.realpath(photos / name) for name in found.names]


def test_an_image_that_is_called_like_a_comment_is_one(photos):
    (photos / 'img2.png').rename(photos / '#2.png')
    (photos / 'list.txt').write_text('#2.png\n#1.png\n# photos\nimg1.png\n')
    assert list(find_images(photos / 'list.txt').names) == ['#2.png', 'img1.png']


@pytest.mark.parametrize('is_alone', [True, False])
def test_a_name_that_is_no_text_is_one_line(photos, is_alone):
    path = os.fsdecode(os.fsencode(photos) + b'/caf\xe9.png')
    os.rename(photos / 'img2.png', path)
    with pytest.raises(DataError, match='which is no text in UTF-8'):
        find_images(path if is_alone else [path, photos / 'img1.png'])


def test_a_list_of_images_elsewhere_counts_from_their_common_folder(photos, tmp_path):
    (tmp_path / 'lists').mkdir()
    (tmp_path / 'lists' / 'list.txt').write_text(f'{photos}/img1.png\n../photos/more/img8.png\n')
    found = find_images(tmp_path / 'lists' / 'list.txt')
    assert list(found.names) == ['img1.png', 'more/img8.png']
    assert paths_of(found) == [os.path.realpath(photos / name) for name in found.names]


def test_addresses_stay_as_they_are(tmp_path):
    (tmp_path / 'list.txt').write_text('https://x.org/a/1.jpg\ns3://b/2.jpg\n')
    found = find_images(tmp_path / 'list.txt')
    assert [found.path(0), found.path(1)] == list(found.names) == ['https://x.org/a/1.jpg', 's3://b/2.jpg']
    assert facts_of(found.path(0)) == 'address'


@pytest.mark.parametrize('content', [
    'image,labels\nimg3.png,dog;cat\nimg0.png,none\n',
    'path\tdog\tcat\nimg3.png\t1\t0\nimg0.png\t\t\n',
    'filename\nimg3.png\nimg0.png\nimg3.png\n',
])  # fmt: skip
def test_the_images_of_a_table_are_taken_whatever_its_labels_say(photos, content):
    (photos / 'table.csv').write_text(content)
    found = find_images(photos / 'table.csv')
    assert list(found.names) == ['img3.png', 'img0.png']
    assert paths_of(found) == [os.path.realpath(photos / name) for name in found.names]


def test_any_label_file_is_a_table(toy_data):
    found = find_images(toy_data / 'test.json')
    assert len(found) == 12
    assert all(os.path.isfile(path) for path in paths_of(found))


def test_one_image_and_a_sequence_of_paths(photos):
    assert list(find_images(photos / 'img3.png').names) == ['img3.png']
    found = find_images([photos / 'img3.png', str(photos / 'more' / 'img8.png'), photos / 'img3.png'])
    assert (list(found.names), found.repeated) == (['img3.png', 'more/img8.png'], 1)


def test_the_digest_changes_with_the_names(photos):
    first = find_images(photos).digest
    assert find_images(photos).digest == first
    shutil.move(photos / 'img0.png', photos / 'img00.png')
    assert find_images(photos).digest != first


def test_facts_change_with_the_file(photos):
    before = facts_of(str(photos / 'img0.png'))
    Image.new('RGB', (9, 9)).save(photos / 'img0.png')
    assert facts_of(str(photos / 'img0.png')) != before
    assert facts_of(str(photos / 'gone.png')) == 'unreachable'


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('nowhere', None, 'found nothing at'),
    ('*.gif', None, "found no image that fits '*.gif'"),
    ('empty.txt', '\n# no path\n', 'found no path'),
    ('drawing.svg', '<svg/>', 'found a file of a format that is not read'),
    ('program.py', 'print(1)', 'found neither an image nor a table'),
    ('table.csv', 'image,labels\nimg99.png,dog\n', "found 'img99.png', but no such image"),
    ('nul.txt', 'a\0b.png\n', 'expected the path of an image'),
])  # fmt: skip
def test_what_is_no_source_of_images_is_one_line(photos, monkeypatch, name, content, message):
    monkeypatch.chdir(photos)
    if content is not None:
        (photos / name).write_text(content)
    with pytest.raises(DataError) as refused:
        find_images(name)
    assert message in str(refused.value)
    assert '\n' not in str(refused.value)


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    (tmp_path / 'movie.mp4').write_text('x')
    with pytest.raises(DataError, match='found no image but files that are not read'):
        find_images(tmp_path)


def test_names_that_differ_in_the_form_of_letters_alone_are_refused(photos):
    shutil.copy(photos / 'img0.png', photos / 'caf\u00e9.png')
    shutil.copy(photos / 'img0.png', photos / 'cafe\u0301.png')
    for source in (photos, str(photos / '*.png')):
        with pytest.raises(DataError, match='differ in the form of their letters'):
            find_images(source)
