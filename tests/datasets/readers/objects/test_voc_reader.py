"""Folders of VOC's XML as annotation tools leave them."""

import shutil

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError

UNKNOWN_SOURCE = '<source><database>Unknown</database><annotation>Unknown</annotation><image>Unknown</image></source>'


def save(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(path)


def write(path, *names, filename='', size=(6, 4), extra=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = ''.join(f'<object><name>{name}</name><part><name>head</name></part></object>' for name in names)
    sizes = f'<size><width>{size[0]}</width><height>{size[1]}</height></size>'
    path.write_text(f'<annotation><filename>{filename}</filename>{extra}{sizes}{objects}</annotation>', 'utf-8')


def rows(data):
    return {
        image_id: [data.class_names[c] for c in np.flatnonzero(labels == 1)] if (labels >= 0).all() else None
        for image_id, labels in zip(data.image_ids, data.labels, strict=True)
    }


@pytest.fixture
def read(tmp_path):
    def make(ann_file, **options):
        return TableDataset(**dict(data_root=str(tmp_path), ann_file=ann_file) | options)

    return make


# Where the XML files lie, where the images do, what names the label file, and how ids begin.
PLACES = [
    ('annotations', 'images', 'annotations', ''),
    ('Annotations', 'JPEGImages', '.', ''),
    ('Annotations', 'JPEGImages', 'Annotations', ''),
    ('', '', '.', ''),
    ('train', 'train', 'train', 'train/'),
    ('set/xml', 'set/images', 'set/xml', 'set/images/'),
    ('set/Annotations', 'set/JPEGImages', 'set', 'set/JPEGImages/'),
    ('labels', 'images', 'labels', ''),
]


@pytest.mark.parametrize(('xml', 'images', 'ann_file', 'prefix'), PLACES)
def test_folders_are_read_wherever_tools_put_them(tmp_path, read, xml, images, ann_file, prefix):
    for name in ('Foto (1).PNG', 'b.v2.jpg', 'c.jpeg', '空.jpg'):
        save(tmp_path / images / name)
    write(tmp_path / xml / 'Foto (1).xml', 'Fahrrad', '自行车')
    write(tmp_path / xml / 'b.v2.xml', 'Fahrrad', 'Fahrrad', filename='C:\\Users\\me\\b.v2.jpg')
    write(tmp_path / xml / '空.xml')
    data = read(ann_file)
    assert data.understanding.format == 'voc'
    assert rows(data) == {
        f'{prefix}Foto (1).PNG': ['Fahrrad', '自行车'],
        f'{prefix}b.v2.jpg': ['Fahrrad'],
        f'{prefix}c.jpeg': None,
        f'{prefix}空.jpg': [],
    }
    assert data.understanding.facts['images without XML'] == '1 of 4: unlabelled'
    assert data.understanding.facts['empty files'].startswith('1 of 3 XML files hold no object')
    assert not data.understanding.questions


def test_images_without_file_are_left_out_on_request_and_in_a_test_set(tmp_path, read):
    for name in ('a.jpg', 'b.jpg'):
        save(tmp_path / 'images' / name)
    write(tmp_path / 'annotations' / 'a.xml', 'cat')
    assert rows(read('annotations', unannotated='drop')) == {'a.jpg': ['cat']}
    assert rows(read('annotations', test_mode=True)) == {'a.jpg': ['cat']}


@pytest.mark.parametrize(
    ('options', 'expected'), [(dict(), None), (dict(unannotated='negative'), []), (dict(test_mode=True), [])]
)
def test_a_file_without_object_that_cvat_wrote_is_not_annotated(tmp_path, read, options, expected):
    for name in ('a.jpg', 'b.jpg'):
        save(tmp_path / 'images' / name)
    write(tmp_path / 'annotations' / 'a.xml', 'cat', extra=UNKNOWN_SOURCE)
    write(tmp_path / 'annotations' / 'b.xml', extra=UNKNOWN_SOURCE)
    assert rows(read('annotations', **options)) == {'a.jpg': ['cat'], 'b.jpg': expected}
    assert rows(read('annotations', unannotated='drop')) == {'a.jpg': ['cat']}


def test_mostly_empty_files_are_questioned(tmp_path, read):
    for name in 'abc':
        save(tmp_path / 'images' / f'{name}.jpg')
        write(tmp_path / 'annotations' / f'{name}.xml', *(['cat'] if name == 'a' else []))
    assert [question.kind for question in read('annotations').understanding.questions] == ['empty_files']


# ---------------------------------------------------------------- which image a file is of


def test_a_renamed_file_belongs_to_the_image_that_it_names(tmp_path, read):
    for name in ('a.jpg', 'b.jpg'):
        save(tmp_path / 'images' / name)
    write(tmp_path / 'annotations' / 'label_7.xml', 'cat', filename='/home/me/b.jpg')
    data = read('annotations')
    assert rows(data) == {'a.jpg': None, 'b.jpg': ['cat']}
    assert data.understanding.facts['images by <filename>'].startswith('1 XML files')


def test_an_old_filename_without_its_image_is_ignored(tmp_path, read):
    save(tmp_path / 'images' / 'a.png')
    write(tmp_path / 'annotations' / 'a.xml', 'cat', filename='IMG_0001.JPG')
    data = read('annotations')
    assert rows(data) == {'a.png': ['cat']}
    assert not data.understanding.questions


@pytest.mark.parametrize(('size', 'expected'), [((6, 4), 'a.jpg'), ((9, 5), 'b.jpg'), ((1, 1), 'a.jpg')])
def test_where_two_names_lead_to_two_images_the_size_decides_and_it_is_questioned(tmp_path, read, size, expected):
    save(tmp_path / 'images' / 'a.jpg')
    save(tmp_path / 'images' / 'b.jpg', (9, 5))
    write(tmp_path / 'annotations' / 'a.xml', 'cat', filename='b.jpg', size=size)
    data = read('annotations')
    assert rows(data)[expected] == ['cat']
    assert sum(labels is not None for labels in rows(data).values()) == 1
    assert [question.kind for question in data.understanding.questions] == ['other_filename']


def test_of_several_images_of_one_name_the_filename_tells_which(tmp_path, read):
    for name in ('a.jpg', 'a.png'):
        save(tmp_path / 'images' / name)
    write(tmp_path / 'annotations' / 'a.xml', 'cat')
    with pytest.raises(DataError, match=r'a.xml: found the images a.jpg, a.png, expected one'):
        read('annotations')
    write(tmp_path / 'annotations' / 'a.xml', 'cat', filename='a.png')
    assert rows(read('annotations')) == {'a.jpg': None, 'a.png': ['cat']}


def test_folders_of_images_go_with_folders_of_files(tmp_path, read):
    for number, name in enumerate(('north', 'south')):
        save(tmp_path / 'images' / name / '1.jpg')
        write(tmp_path / 'annotations' / name / '1.xml', f'class {number}')
    assert rows(read('annotations')) == {'north/1.jpg': ['class 0'], 'south/1.jpg': ['class 1']}


def test_a_missing_image_and_two_files_of_one_image_are_refused(tmp_path, read):
    save(tmp_path / 'images' / 'a.jpg')
    write(tmp_path / 'annotations' / 'a.xml', 'cat')
    write(tmp_path / 'annotations' / 'x.xml', 'dog', filename='x.jpg')
    with pytest.raises(DataError, match=r"x.xml: found 'x.jpg', but no such image"):
        read('annotations')
    write(tmp_path / 'annotations' / 'x.xml', 'dog', filename='a.jpg')
    with pytest.raises(DataError, match=r"x.xml: found image id 'a.jpg' again, with other labels than in .*a.xml"):
        read('annotations')


def test_other_parts_below_a_folder_are_not_read(tmp_path, read):
    for part in ('', 'valid'):
        save(tmp_path / 'set' / part / f'{part}1.jpg')
        write(tmp_path / 'set' / part / f'{part}1.xml', f'class {part}')
    assert rows(read('set')) == {'set/1.jpg': ['class'], 'set/valid/valid1.jpg': None}


# ---------------------------------------------------------------- lists, and what is no VOC


def test_a_list_of_an_image_set_names_its_images_alone(tmp_path, read):
    for name in ('Shot (1)', 'Shot 1', 'c', 'd'):
        save(tmp_path / 'JPEGImages' / f'{name}.png')
    for name in ('Shot (1)', 'Shot 1', 'd'):
        write(tmp_path / 'Annotations' / f'{name}.xml', 'cat')
    lists = tmp_path / 'ImageSets' / 'Main'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('Shot (1)\nShot 1\nc\n')
    (lists / 'cat_train.txt').write_text('Shot (1) -1\nShot 1  1\n')
    assert rows(read('ImageSets/Main/train.txt')) == {'Shot (1).png': ['cat'], 'Shot 1.png': ['cat'], 'c.png': None}
    assert rows(read('ImageSets/Main/cat_train.txt')) == {'Shot (1).png': ['cat'], 'Shot 1.png': ['cat']}
    assert rows(read('.', test_mode=True)).keys() == {'Shot (1).png', 'Shot 1.png', 'd.png'}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('<annotation><object>', 'found no valid XML'),
        ('<annotation><object><name> </name></object></annotation>', 'found an object without a name'),
        ('<annotations></annotations>', 'found the XML element <annotations>'),
        ('<!DOCTYPE x [<!ENTITY a "b">]><annotation>&a;</annotation>', 'found entities'),
        ('<annotation>\udcfc</annotation>', 'cannot be read as UTF-8 text'),
    ],
)
def test_broken_files_are_refused_in_one_line(tmp_path, read, text, message):
    for name in 'ab':
        save(tmp_path / 'images' / f'{name}.jpg')
        write(tmp_path / 'annotations' / f'{name}.xml', 'cat')
    (tmp_path / 'annotations' / 'b.xml').write_bytes(text.encode('utf-8', 'surrogateescape'))
    with pytest.raises(DataError, match=f'b.xml: {message}') as caught:
        read('annotations', format='voc')
    assert '\n' not in str(caught.value)


def test_a_folder_without_voc_files_is_a_folder_a_class(tmp_path, read):
    save(tmp_path / 'photos' / 'cat' / '1.jpg')
    save(tmp_path / 'photos' / 'dog' / '2.jpg')
    (tmp_path / 'photos' / 'other.xml').write_text('<annotations/>')
    assert read('photos').understanding.format == 'folders'
    shutil.rmtree(tmp_path / 'photos' / 'dog')
    with pytest.raises(DataError, match='photos: found no XML file in VOC form'):
        read('photos', format='voc')


def test_an_object_that_was_taken_back_is_no_label(tmp_path, read):
    save(tmp_path / 'a.jpg')
    objects = ''.join(
        f'<object><name>{name}</name><deleted>{gone}</deleted></object>' for name, gone in (('cat', 0), ('dog', 1))
    )
    (tmp_path / 'a.xml').write_text(f'<annotation><filename>a.jpg</filename>{objects}</annotation>')
    assert rows(read('.')) == {'a.jpg': ['cat']}
