"""YOLO's layouts: data.yaml as several tools write it, and folders without one."""

import json

import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError

BOX = '0.5 0.5 0.2 0.2'


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (4, 4)).save(path)


def label(path, *numbers):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{number} {BOX}\n' for number in numbers))


def rows(data):
    return {
        image_id: [data.class_names[c] for c in data.get_cat_ids(i)] if (data.labels[i] >= 0).all() else None
        for i, image_id in enumerate(data.image_ids)
    }


@pytest.fixture
def read(tmp_path):
    def make(ann_file='data.yaml', yaml=None, **options):
        if yaml is not None:
            (tmp_path / ann_file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / ann_file).write_text(yaml, 'utf-8')
        return TableDataset(**dict(data_root=str(tmp_path), ann_file=ann_file) | options)

    return make


@pytest.fixture
def parts(tmp_path):
    """Four training images in one part (two of them labelled, one background), one in the other."""
    for name in ('a b.jpg', 'b.v2.png', 'c.jpg', 'sub/d.jpg'):
        save(tmp_path / 'train' / 'images' / name)
    label(tmp_path / 'train' / 'labels' / 'a b.txt', 0, 1, 1)
    label(tmp_path / 'train' / 'labels' / 'b.v2.txt')
    label(tmp_path / 'train' / 'labels' / 'sub' / 'd.txt', '1.0')
    save(tmp_path / 'valid' / 'images' / 'e.jpg')
    label(tmp_path / 'valid' / 'labels' / 'e.txt', 2)
    return tmp_path


TRAIN = {
    'train/images/a b.jpg': ['自行车', 'no'],
    'train/images/b.v2.png': [],
    'train/images/c.jpg': None,
    'train/images/sub/d.jpg': ['no'],
}
NAMES = 'nc: 3\nnames: [自行车, no, "dining table"]\n'


@pytest.mark.parametrize(
    'text',
    [
        f'train: train/images\nval: valid/images\n{NAMES}',
        f'train: ../train/images\nval: ../valid/images\ntest: ../test/images\n{NAMES}',  # Roboflow
        f'path: /content/datasets/mine\ntrain: train/images\nval: valid/images\n{NAMES}',
        f'path: .\ntrain: [train/images]\nvalid: valid/images\n{NAMES}',
        f'train: /content/mine/train/images\nval: C:\\mine\\valid\\images\n{NAMES}',
        'train: train/images\nval: valid/images\nnames:\n  0: 自行车\n  1: no\n  2: dining table\n',
        'train: ./train\nval: ./valid\nnames:\n- 自行车\n- no\n- dining table\nroboflow: {url: http://x}\n',
    ],
)
@pytest.mark.usefixtures('parts')
def test_a_part_of_data_yaml_is_read_as_tools_write_it(read, text):
    data = read(yaml=text)
    assert rows(data) == TRAIN
    assert data.class_names == ['自行车', 'no']
    assert list(data.understanding.left) == ['dining table']
    assert data.understanding.facts['empty files'].startswith('1 of 3 label files hold no object')
    assert data.understanding.facts['unannotated'].startswith('1 of 4 images have no label file: unlabelled')
    for subset in ('val', 'valid'):
        assert rows(read(subset=subset)) == {'valid/images/e.jpg': ['dining table']}


@pytest.mark.usefixtures('parts')
def test_images_without_a_file_are_what_the_key_says(read):
    text = f'train: train/images\nval: valid/images\n{NAMES}'
    image = 'train/images/c.jpg'
    assert rows(read(yaml=text, unannotated='negative')) == TRAIN | {image: []}
    assert rows(read(test_mode=True)) == TRAIN | {image: []}
    dropped = read(unannotated='drop')
    assert rows(dropped) == {key: value for key, value in TRAIN.items() if key != image}
    assert list(dropped.understanding.left_out.values()) == [[image]]


def test_lists_of_images_name_the_part(read, parts):
    (parts / 'lists').mkdir()
    (parts / 'lists' / 'train.txt').write_text('./train/images/a b.jpg\n/content/mine/train/images/c.jpg\n\n')
    data = read(yaml=f'train: lists/train.txt\nval: valid/images\n{NAMES}')
    assert rows(data) == {key: TRAIN[key] for key in ('train/images/a b.jpg', 'train/images/c.jpg')}
    (parts / 'lists' / 'train.txt').write_text('train/images/a b.jpg\ntrain/images/x.jpg\n')
    with pytest.raises(DataError, match=r"train.txt, line 2: found 'train/images/x.jpg', which is no image"):
        read()


def test_several_directories_are_one_part(read, parts):
    data = read(yaml=f'train: [train/images, valid/images]\nval: valid/images\n{NAMES}')
    assert rows(data) == TRAIN | {'valid/images/e.jpg': ['dining table']}


def test_images_and_labels_may_lie_beside_the_yaml(read, parts):
    (parts / 'data').mkdir()
    data = read('data/data.yaml', f'train: ../train/images\nval: ../valid/images\n{NAMES}')
    assert rows(data) == TRAIN


@pytest.mark.parametrize('names', ['classes.txt', 'labels/classes.txt', 'notes.json'])
@pytest.mark.parametrize('folder', ['images', ''])
def test_a_folder_without_yaml_is_read_with_its_class_file(tmp_path, read, names, folder):
    for name in 'abc':
        save(tmp_path / 'set' / folder / f'{name}.jpg')
    place = 'labels' if folder else ''  # labelImg writes beside the images
    label(tmp_path / 'set' / place / 'a.txt', 1, 0)
    label(tmp_path / 'set' / place / 'b.txt')
    path = tmp_path / 'set' / names
    path.parent.mkdir(exist_ok=True)
    categories = [dict(id=1, name='Hund'), dict(id=0, name='cat')]
    path.write_text(json.dumps(dict(categories=categories)) if names.endswith('json') else 'cat\nHund\n')
    data = read('set')
    prefix = f'set/{folder}/' if folder else 'set/'
    assert data.understanding.format == 'yolo'
    assert rows(data) == {f'{prefix}a.jpg': ['cat', 'Hund'], f'{prefix}b.jpg': [], f'{prefix}c.jpg': None}


def test_darknet_s_files_of_cvat_are_read(tmp_path, read):
    for name in 'ab':
        save(tmp_path / 'obj_train_data' / f'{name}.jpg')
    label(tmp_path / 'obj_train_data' / 'a.txt', 1)
    (tmp_path / 'obj.names').write_text('cat\nHund\n')
    (tmp_path / 'train.txt').write_text('data/obj_train_data/a.jpg\ndata/obj_train_data/b.jpg\n')
    (tmp_path / 'obj.data').write_text(
        'classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n'
    )
    assert rows(read('obj.data')) == {'obj_train_data/a.jpg': ['Hund'], 'obj_train_data/b.jpg': None}


@pytest.mark.usefixtures('parts')
@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (f'train: nowhere/images\nval: valid/images\n{NAMES}', 'found train: nowhere/images, which is not there'),
        (f'val: valid/images\n{NAMES}', "found no part 'train' .it has val."),
        ('train: train/images\nval: valid/images\n', 'found no names of classes'),
        ('train: train/images\nnc: 2\nnames: [a, b, c]\n', 'found nc: 2 and 3 names'),
        ('train: train/images\nnames: {0: a, 2: b}\n', 'found the numbers 0, 2 in names'),
        ('train: train/images\nnames: {0: a, ²: b}\n', 'found the numbers 0, ² in names'),
        ('train: train/images\nnames: [a, [b]]\n', 'found an empty name or a list among names'),
        ('train: train/images\nnames: [a, b', 'found no valid YAML'),
        ('train: train/images\nnames: [a]\n', r'a b.txt, line 2: found class 1, expected a number from 0 to 0'),
    ],
)
def test_broken_settings_are_refused_in_one_line(read, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read(yaml=text, format='yolo')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('cat 0.5 0.5 0.2 0.2', "found 'cat 0.5 0.5 0.2 0.2', expected the number of a class"),
        ('0', "found '0', expected the number of a class"),
        ('0.5 0.5 0.5 0.2 0.2', 'expected the number of a class'),
        ('-1 0.5 0.5 0.2 0.2', 'found class -1, expected a number from 0 to 2'),
        ('0 0.5 0.5 0.2 0.2 0.87', 'found 6 numbers, as of predictions'),
    ],
)
def test_broken_lines_are_refused_in_one_line(read, parts, line, message):
    (parts / 'train' / 'labels' / 'c.txt').write_text(f'1 {BOX}\n{line}\n')
    with pytest.raises(DataError, match=f'c.txt, line 2: .*{message}'):
        read(yaml=f'train: train/images\nval: valid/images\n{NAMES}')


def test_polygons_and_key_points_count_by_their_class(read, parts):
    (parts / 'train' / 'labels' / 'c.txt').write_text(f'2 {"0.1 0.2 " * 4}\n0 {BOX} {"0.1 0.2 2 " * 3}\n')
    data = read(yaml=f'train: train/images\nval: valid/images\n{NAMES}')
    assert rows(data)['train/images/c.jpg'] == ['自行车', 'dining table']


def test_a_set_without_any_label_file_is_refused_with_the_places(read, parts):
    (parts / 'train' / 'labels').rename(parts / 'train' / 'annotations')
    with pytest.raises(DataError, match=r'no text file with labels for any of 4 images, .*train/labels/a b.txt'):
        read(yaml=f'train: train/images\nval: valid/images\n{NAMES}')


def test_mostly_empty_files_are_questioned(read, parts):
    for name in ('c', 'a b'):
        label(parts / 'train' / 'labels' / f'{name}.txt')
    data = read(yaml=f'train: train/images\nval: valid/images\n{NAMES}')
    assert [question.kind for question in data.understanding.questions] == ['empty_files']


def test_a_folder_of_labels_without_names_is_refused(tmp_path, read):
    save(tmp_path / 'set' / 'images' / 'a.jpg')
    label(tmp_path / 'set' / 'labels' / 'a.txt', 0)
    with pytest.raises(DataError, match='set: found YOLO labels without the names of their classes'):
        read('set')


def test_label_files_without_an_image_are_asked_about(tmp_path, read):
    for name in ('a', 'b'):
        save(tmp_path / 'images' / f'{name}.jpg')
    label(tmp_path / 'labels' / 'a.txt', 0)
    (tmp_path / 'classes.txt').write_text('cat\n')
    assert read('.').understanding.questions == []
    label(tmp_path / 'labels' / 'B (1).txt', 0)
    (question,) = read('.').understanding.questions
    assert question.kind == 'labels_without_image'
    assert 'B (1).txt' in question.text


def test_a_byte_order_mark_does_not_hide_the_labels(tmp_path, read):
    save(tmp_path / 'images' / 'a.jpg')
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'labels' / 'a.txt').write_text(f'\ufeff0 {BOX}\n', 'utf-8')
    (tmp_path / 'classes.txt').write_text('cat\n')
    assert rows(read('.')) == {'images/a.jpg': ['cat']}
