"""A folder for each class: which folders are classes, and copies of one photo in several of them."""

import shutil

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.readers.copies import copies_among
from cssa_mm.errors import DataError


@pytest.fixture
def read(tmp_path):
    """read('cat/1.jpg', 'dog/2.jpg=cat/1.jpg', ann_file='photos', **options): photos of their own, or copies."""

    def make(*names, **options) -> TableDataset:
        for seed, name in enumerate(names):
            name, _, original = name.partition('=')
            path = tmp_path / 'photos' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if original:
                shutil.copy(tmp_path / 'photos' / original, path)
            else:
                pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path)
        return TableDataset(**dict(data_root=str(tmp_path), ann_file='photos') | options)

    return make


def labels_of(data: TableDataset) -> dict[str, list[int]]:
    return {
        name.removeprefix('photos/'): labels.tolist() for name, labels in zip(data.image_ids, data.labels, strict=True)
    }


def test_copies_in_several_folders_are_one_image_with_all_labels(read):
    data = read(
        'cat/1.jpg', 'dog/2.jpg', 'person/1.jpg=cat/1.jpg', 'person/2.jpg=dog/2.jpg', 'person/3.jpg', 'extra.jpg',
        'unlabelled/x.jpg=dog/2.jpg',
    )  # fmt: skip
    assert data.class_names == ['cat', 'dog', 'person']
    assert labels_of(data) == {
        'cat/1.jpg': [1, 0, 1],
        'dog/2.jpg': [0, 1, 1],
        'person/3.jpg': [0, 0, 1],
        'extra.jpg': [-1, -1, -1],
    }
    assert data.understanding.facts['copies'].startswith('2 photos lie in several folders')
    assert data.understanding.left_out == {
        'copies of another image': ['photos/person/1.jpg', 'photos/person/2.jpg', 'photos/unlabelled/x.jpg']
    }


def test_copies_in_one_folder_stay(read):
    assert len(read('cat/1.jpg', 'cat/2.jpg=cat/1.jpg', 'dog/3.jpg', '4.jpg')) == 4


def test_a_photo_of_a_class_and_of_none_is_refused(read):
    with pytest.raises(
        DataError, match='found the same photo as .*, one in the folder of a class and one in that of none'
    ):
        read('cat/1.jpg', 'none/2.jpg=cat/1.jpg', '3.jpg')


def test_folders_without_labels_are_unlabelled_and_none_is_none(read):
    data = read('cat/1.jpg', 'none/2.jpg', 'unlabelled/3.jpg', 'unsup/4.jpg', 'later/5.jpg', 'cat/old/6.jpg',
                unknown_word='later')  # fmt: skip
    assert labels_of(data) == {
        'cat/1.jpg': [1],
        'cat/old/6.jpg': [1],
        'none/2.jpg': [0],
        'unlabelled/3.jpg': [-1],
        'unsup/4.jpg': [-1],
        'later/5.jpg': [-1],
    }
    assert not data.understanding.questions


def test_parts_of_a_data_set_are_no_classes(read):
    names = ['train/cat/1.jpg', 'train/dog/2.jpg', 'test/cat/3.jpg', 'train/4.jpg']
    with pytest.raises(DataError, match='found the folders .*, which are parts .*ann_file=photos/test'):
        read(*names)
    assert labels_of(read(*names, ann_file='photos/train')) == {
        'train/cat/1.jpg': [1, 0], 'train/dog/2.jpg': [0, 1], 'train/4.jpg': [-1, -1],
    }  # fmt: skip
    assert set(labels_of(read(*names, subset='train'))) == {'train/cat/1.jpg', 'train/dog/2.jpg', 'train/4.jpg'}


def test_the_only_folder_with_folders_is_gone_into(read):
    data = read('images/cat/1.jpg', 'images/dog/2.jpg', 'images/3.jpg')
    assert labels_of(data) == {'images/cat/1.jpg': [1, 0], 'images/dog/2.jpg': [0, 1], 'images/3.jpg': [-1, -1]}
    assert data.understanding.facts['folders'] == 'those of images/'


def test_folders_that_look_like_no_class_are_questioned(read):
    names = ['cat/1.jpg', 'dog/2.jpg', 'test/3.jpg', 'images/4.jpg', '__MACOSX/5.jpg']
    data = read(*names)
    assert labels_of(data) == {'cat/1.jpg': [1, 0], 'dog/2.jpg': [0, 1], 'images/4.jpg': [-1, -1]}
    assert [question.kind for question in data.understanding.questions] == ['folders_of_parts', 'folders_of_files']
    assert "'test' (1 images)" in data.understanding.questions[0].line()
    data = read(class_names=['cat', 'dog', 'test', 'images'])
    assert labels_of(data)['test/3.jpg'] == [0, 0, 1, 0]
    assert not data.understanding.questions


def test_folders_in_the_folder_of_a_class_are_questioned_where_it_holds_nothing_else(read):
    data = read('animal/cat/1.jpg', 'animal/dog/2.jpg', 'car/3.jpg', '4.jpg')
    assert data.class_names == ['animal', 'car']
    assert [question.kind for question in data.understanding.questions] == ['nested_folders']


@pytest.mark.parametrize('names', [('1.jpg', '2.jpg'), ('images/1.jpg',), ('unlabelled/1.jpg',)])
def test_a_directory_without_a_folder_of_a_class_is_refused(read, names):
    with pytest.raises(DataError, match='in no folder of a class, expected a folder for each class') as caught:
        read(*names)
    assert '\n' not in str(caught.value)


def test_separators_of_a_folder_s_name_can_be_given(read):
    data = read('cat+dog/1.jpg', 'cat/2.jpg', '3.jpg', label_separators='+')
    assert labels_of(data)['cat+dog/1.jpg'] == [1, 1]


def test_the_data_root_can_be_the_directory(read, tmp_path):
    data = read('cat/1.jpg', '2.jpg', data_root=str(tmp_path / 'photos'), ann_file='')
    assert labels_of(data) == {'cat/1.jpg': [1], '2.jpg': [-1]}


def test_files_of_the_same_size_are_told_apart(tmp_path):
    for name, content in dict(a=b'x' * 70_000, b=b'x' * 69_999 + b'y', c=b'x' * 70_000, d=b'', e=b'').items():
        (tmp_path / name).write_bytes(content)
    paths = {name: str(tmp_path / name) for name in 'abcdef'}
    assert copies_among(paths) == [['a', 'c']]
