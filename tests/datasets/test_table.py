import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.registry import DATASETS
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.models.class_names import resolve_class_names

IMAGES = ['a.jpg', 'b.PNG', 'c.jpg', 'd.jpeg', 'deep/er/e.webp', 'f.jpg']
# In the order of the sorted classes cat, dining table, dog.
ONE_COLUMN = """image,labels
c.jpg,dog
a.jpg,"cat, dining table"
b.PNG,
f.jpg,none
"""


@pytest.fixture
def root(tmp_path) -> Path:
    """A folder of six images, one of them two folders down, with a file beside that is no image."""
    root = tmp_path / 'photos'
    for seed, name in enumerate(IMAGES):
        path = root / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    (root / 'images' / 'notes.doc').write_text('no image')
    return root


@pytest.fixture
def read(root):
    """read('content of a table', name='labels.csv', **options) -> the training set; content None leaves the files."""

    def make(content, name='labels.csv', **options) -> TableDataset:
        if content is not None:
            content = content if isinstance(content, (str, bytes)) else json.dumps(content)
            content = content.encode() if isinstance(content, str) else content
            (root / name).write_bytes(content)
        return TableDataset(**dict(data_root=str(root), img_dir='images', ann_file=name) | options)

    return make


def rows_of(data: TableDataset) -> dict[str, list[int]]:
    return dict(zip(data.image_ids, data.labels.tolist(), strict=True))


def refused(read, content, *parts, error=DataError, **options) -> str:
    """The message, which is one line and holds each of `parts`."""
    with pytest.raises(error) as caught:
        read(content, **options)
    message = str(caught.value)
    assert '\n' not in message
    for part in parts:
        assert part in message
    return message


# ---------------------------------------------------------------- one column of class names


def test_blank_is_unlabelled_none_is_a_label_and_images_without_a_row_are_unlabelled(read, root):
    data = read(ONE_COLUMN)
    assert data.class_names == ['cat', 'dining table', 'dog']
    assert rows_of(data) == {
        'a.jpg': [1, 1, 0],
        'b.PNG': [-1, -1, -1],
        'c.jpg': [0, 0, 1],
        'd.jpeg': [-1, -1, -1],
        'deep/er/e.webp': [-1, -1, -1],
        'f.jpg': [0, 0, 0],
    }
    assert data.is_labelled.tolist() == [True, False, True, False, False, True]
    assert data.image_ids == sorted(IMAGES)
    assert all(Path(path) == root / 'images' / name for path, name in zip(data.img_paths, data.image_ids, strict=True))


@pytest.mark.parametrize('delimiter', [',', ';', '\t', '|'])
def test_the_delimiter_is_found_in_the_header(read, delimiter):
    table = f'image,labels\na.jpg,cat{"/" if delimiter in ";|" else ";"}dog\nc.jpg,dog\n'.replace(',', delimiter)
    data = read(table, label_separators='/;')
    assert rows_of(data)['a.jpg'] == [1, 1]


def test_columns_separator_word_and_delimiter_can_be_named(read):
    table = 'id:tags:file\n1:dog+cat:a.jpg\n2:nothing:c.jpg\n'
    options = dict(image_column='file', label_column='tags', label_separators='+', none_word='nothing', delimiter=':')
    rows = rows_of(read(table, **options))
    assert (rows['a.jpg'], rows['c.jpg']) == ([1, 1], [0, 0])


def test_a_table_as_a_spreadsheet_saves_it_is_read(read):
    """A byte order mark, Windows line ends, quotes, spaces, blank lines, and a cell left off at the end."""
    data = read(
        '\ufeff"image";"labels"\r\n"a.jpg"; Cat;\r\n\r\nc.jpg;"dog , cat"\r\nf.jpg\r\n'.replace('Cat;', '"Cat;"')
    )
    assert rows_of(data)['a.jpg'] == [1, 0]
    assert rows_of(data)['c.jpg'] == [1, 1]
    assert rows_of(data)['f.jpg'] == [-1, -1]


def test_names_that_differ_in_case_only_are_one_class_in_its_commonest_spelling(read):
    data = read('image,labels\na.jpg,Dog\nb.PNG,dog;CAT\nc.jpg,dog\n')
    assert data.class_names == ['CAT', 'dog']
    assert data.labels[:3].tolist() == [[0, 1], [1, 1], [0, 1]]


def test_paths_may_be_written_in_other_ways(read, root):
    data = read(f'image,labels\n./deep\\er/e.webp,cat\n{root}/images/c.jpg,dog\ndeep/../a.jpg,cat\n')
    assert {name for name, labels in rows_of(data).items() if 1 in labels} == {'deep/er/e.webp', 'c.jpg', 'a.jpg'}


def test_given_classes_keep_their_order_and_may_lack_photos(read):
    data = read(ONE_COLUMN, class_names=['dog', 'Dining_table', 'sheep', 'cat'])
    assert rows_of(data)['a.jpg'] == [0, 1, 0, 1]


# ---------------------------------------------------------------- one column a class: partial labels

PER_CLASS = 'image,dog,cat,cow\na.jpg,1,0,\nc.jpg,-1,1.0,0\nb.PNG,,,\nf.jpg,0.0,-1,1\n'


def test_cells_are_positive_negative_or_unknown_and_a_blank_row_is_unlabelled(read):
    data = read(PER_CLASS)
    assert data.class_names == ['cat', 'cow', 'dog']
    rows = rows_of(data)
    assert (rows['a.jpg'], rows['c.jpg'], rows['f.jpg']) == ([0, -1, 1], [1, 0, -1], [-1, 1, 0])
    assert [name for name, known in zip(data.image_ids, data.is_labelled, strict=True) if known] == [
        'a.jpg', 'c.jpg', 'f.jpg',
    ]  # fmt: skip
    np.testing.assert_allclose(data.positive_rates(), [1 / 2, 1 / 2, 1 / 2])


def test_with_given_classes_other_columns_are_left_alone(read):
    table = 'image,photographer,dog,cat\na.jpg,Ann,1,0\nc.jpg,Bob,0,1\n'
    data = read(table, class_names=['dog', 'cat'])
    assert rows_of(data)['a.jpg'] == [1, 0]


# ---------------------------------------------------------------- other formats


def test_mmpretrain_s_json_is_read(read):
    entries = [
        dict(img_path='a.jpg', gt_label=[2, 0]),
        dict(img_path='b.PNG'),
        dict(img_path='c.jpg', gt_label=[]),
        dict(img_path='f.jpg', gt_label=1),
    ]
    content = dict(metainfo=dict(classes=['zebra', 'ant', 'cow']), data_list=entries)
    data = read(content, 'labels.json')
    assert data.class_names == ['zebra', 'ant', 'cow']
    rows = rows_of(data)
    assert [rows[name] for name in ('a.jpg', 'b.PNG', 'c.jpg', 'f.jpg')] == [
        [1, 0, 1], [-1, -1, -1], [0, 0, 0], [0, 1, 0],
    ]  # fmt: skip
    reordered = read(None, 'labels.json', class_names=['ant', 'cow', 'zebra'])
    assert rows_of(reordered)['a.jpg'] == [0, 1, 1]


def test_a_folder_for_each_class_is_read(root):
    for image, (folder, name) in zip(
        IMAGES, (('cat', 1), ('cat', 2), ('dog/old', 1), ('none', 1), ('.', 7)), strict=False
    ):
        target = root / 'train' / folder / f'{name}.jpg'
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(root / 'images' / image, target)
    data = TableDataset(data_root=str(root), img_dir='images', ann_file='train')
    assert data.class_names == ['cat', 'dog']
    assert rows_of(data) == {
        'train/7.jpg': [-1, -1],
        'train/cat/1.jpg': [1, 0],
        'train/cat/2.jpg': [1, 0],
        'train/dog/old/1.jpg': [0, 1],
        'train/none/1.jpg': [0, 0],
    }
    assert all(Path(path).is_file() for path in data.img_paths)
    below = TableDataset(data_root=str(root / 'train'), ann_file='')
    assert below.image_ids == ['7.jpg', 'cat/1.jpg', 'cat/2.jpg', 'dog/old/1.jpg', 'none/1.jpg']


def test_the_extension_does_not_matter_where_the_format_is_given(read):
    data = read(ONE_COLUMN, 'labels.dat', format='csv')
    assert data.is_labelled.sum() == 3


# ---------------------------------------------------------------- which images, which classes


def test_images_without_a_row_can_be_left_out_and_never_are_in_a_test_set(read):
    listed = ['a.jpg', 'b.PNG', 'c.jpg', 'f.jpg']
    assert read(ONE_COLUMN, include_unlisted=False).image_ids == listed
    assert read(ONE_COLUMN, test_mode=True).image_ids == listed


def test_the_images_of_the_held_out_table_are_not_trained_on(read, root):
    (root / 'test.csv').write_text('image,labels\nd.jpeg,cat\nb.PNG,dog\n')
    data = read(ONE_COLUMN, held_out='test.csv')
    assert data.image_ids == ['a.jpg', 'c.jpg', 'deep/er/e.webp', 'f.jpg']
    assert read(ONE_COLUMN, held_out='none.csv').image_ids == sorted(IMAGES)


def test_the_classes_come_from_the_first_file_that_exists(read, root):
    read(ONE_COLUMN)
    options = dict(name='test.csv', test_mode=True, classes_from=['classes.txt', 'labels.csv'])
    assert read('image,labels\nd.jpeg,dog\n', **options).class_names == ['cat', 'dining table', 'dog']
    (root / 'classes.txt').write_text('dog\nsheep\n')
    assert read(None, **options).class_names == ['dog', 'sheep']
    assert read(None, **options | dict(class_names=['dog'])).class_names == ['dog']


def test_where_no_file_tells_the_classes_the_label_file_is_missed(read):
    refused(read, None, 'test.csv: cannot be read', name='test.csv', classes_from=['classes.txt', 'labels.csv'])


def test_the_model_takes_the_classes_of_a_table(read, root):
    read(ONE_COLUMN)
    config = dict(type='TableDataset', data_root=str(root), ann_file='labels.csv')
    expected = ['cat', 'dining table', 'dog']
    assert resolve_class_names(config) == expected
    assert resolve_class_names(str(root / 'labels.csv')) == expected
    assert DATASETS.build(config | dict(img_dir='images')).class_names == expected


def test_a_class_named_by_a_table_needs_no_image_to_be_found(root):
    (root / 'labels.csv').write_text('image,labels\nelsewhere.jpg,cat\n')
    assert resolve_class_names(str(root / 'labels.csv')) == ['cat']


def test_what_is_doubtful_stays_so_when_the_file_is_read_again(read):
    data = read('image,labels\na.jpg,rust scab\nb.PNG,rust\nc.jpg,scab leaf\n')
    assert data.class_names == ['leaf', 'rust', 'scab']
    for _ in range(2):
        assert [question.kind for question in data.understanding.questions] == ['separators']
        data.read_annotations()
    known = read(None, class_names=['scab', 'rust', 'leaf'])
    assert known.understanding.questions == []
    assert known.labels[0].tolist() == [1, 1, 0]


def test_a_split_hides_labels_of_a_fully_labelled_table(read):
    table = 'image,labels\n' + ''.join(f'{name},cat\n' for name in IMAGES)
    data = read(table, split=dict(proportion=0.5, seed=1))
    assert data.is_labelled.sum() == 3
    assert (data.hidden_labels == 1).all()


# ---------------------------------------------------------------- bad input


def test_a_missing_image_column_is_named_with_the_nearest_one(read, root):
    message = refused(read, 'imagee,labels\n1,cat\n')
    assert message == (
        f"{root}/labels.csv: found the columns 'imagee', 'labels', expected one called 'image' with the images. "
        "Did you mean 'imagee'? Correct the header line or set image_column."
    )
    refused(read, 'image,labels\na.jpg,cat\n', "called 'file' with the images", image_column='file')


def test_a_missing_column_of_labels_is_named(read):
    refused(read, 'image\na.jpg\n', "found no column but 'image', expected one called 'labels', or one for each class")
    refused(read, 'image,labels\na.jpg,cat\n', "called 'tags' with the labels", label_column='tags')


def test_a_missing_column_of_a_class_is_named_with_the_nearest_one(read):
    part = "found no class 'horse' among its 2 categories, expected the 2 of class_names. Did you mean 'hrose'?"
    refused(read, 'image,dog,hrose\na.jpg,1,0\n', part, class_names=['dog', 'horse'])


def test_a_wrong_delimiter_is_named_with_the_right_one(read):
    parts = ["found the one column 'image,labels', expected an image and its labels", "set delimiter=','"]
    refused(read, ONE_COLUMN, *parts, delimiter=';')
    refused(read, ONE_COLUMN, "delimiter: found '::', expected one character", error=ConfigError, delimiter='::')


def test_labels_that_are_cut_by_the_delimiter_are_named(read):
    parts = ['labels.csv, line 3: found 3 cells, expected the 2 of the header', '(cat;dog), or put them in quotes']
    refused(read, 'image,labels\na.jpg,cat\nc.jpg,cat,dog\n', *parts)


def test_a_cell_that_means_nothing_is_named(read):
    refused(read, 'image,cat,dog\na.jpg,1,0\nc.jpg,2,0\n', "line 3: found '2' in the column 'cat', expected 1, 0, or")
    refused(read, 'image,labels\n,cat\n', "line 2: found no image name in the column 'image'")
    refused(read, 'image,cat,cat\na.jpg,1,0\n', "found the column 'cat' twice")
    refused(read, 'image,labels\n"a.jpg,cat\n', 'found no valid CSV', 'quotes that close')


def test_an_unknown_class_is_named_with_the_nearest_known_one_and_the_place_to_add_it(read, root):
    options = dict(class_names=['cat', 'horse'])
    message = refused(read, 'image,labels\na.jpg,cat\nc.jpg,hrose\n', **options)
    assert message.startswith(
        f"{root}/labels.csv, line 3: found class 'hrose', expected one of the 2 class names. Did you mean 'horse'?"
    )
    options = dict(name='test.csv', classes_from=['classes.txt', 'labels.csv'], test_mode=True)
    read('image,labels\na.jpg,cat\n', 'labels.csv')
    table = 'image,labels\nc.jpg,sheep\n'
    refused(read, table, f'To add a class, write all of them, one a line, into {root}/classes.txt.', **options)


def test_all_unknown_classes_are_named_at_once(read, root):
    table = 'image,labels\na.jpg,cat;sheep\nc.jpg,cow;bird\n'
    message = refused(read, table, class_names=['cat', 'horse'])
    assert message.startswith(f"{root}/labels.csv, line 2: found class 'sheep', expected one of the 2 class names.")
    assert "Found, too: 'bird', 'cow'. To add a class" in message


def test_rows_of_an_image_are_joined_and_must_agree_where_each_class_has_a_column(read):
    data = read('image,labels\na.jpg,cat\nc.jpg,cow\n./a.jpg,dog\n')
    assert rows_of(data)['a.jpg'] == [1, 0, 1]
    assert rows_of(read('image,cat,dog\na.jpg,1,0\na.jpg,1,0\n'))['a.jpg'] == [1, 0]
    parts = ['line 4: found', "'a.jpg' again, with other labels than in", 'line 2']
    refused(read, 'image,cat,dog\na.jpg,1,0\nc.jpg,1,1\na.jpg,0,0\n', *parts)


def test_an_image_of_both_training_and_test_is_named(read, root):
    (root / 'test.csv').write_text('image,labels\nd.jpeg,cat\nc.jpg,dog\n')
    message = refused(read, ONE_COLUMN, held_out='test.csv')
    assert message == (
        f"{root}/labels.csv: found image 'c.jpg', which {root}/test.csv lists too (1 such images), expected no image "
        'in both training and test; remove them from one of the files.'
    )
    (root / 'test.csv').write_text('image,labels\nd.jpeg,cat\nf.jpg,dog\n')
    refused(read, None, "found image 'f.jpg', which", held_out='test.csv')  # labelled: none of the classes


@pytest.mark.parametrize('table', ['image,labels\na.jpg,\n', 'image,labels\n', 'image,cat,dog\na.jpg,,\n'])
def test_a_table_without_any_label_is_refused(read, table):
    refused(read, table, 'labels.csv: found ', 'no label in any, expected at least one labelled image')


def test_a_table_that_leaves_no_unlabelled_image_is_read(read):
    table = 'image,labels\n' + ''.join(f'{name},cat\n' for name in IMAGES)
    for options in ({}, dict(include_unlisted=False), dict(test_mode=True), dict(part='labelled')):
        assert len(read(table, **options)) == 6


def test_json_that_is_none_or_of_another_form_is_named(read):
    refused(read, '{"data_list": [', 'labels.json: found no valid JSON (', 'export it again', name='labels.json')
    parts = ["labels.json: found an object with 'images', expected a list of entries"]
    refused(read, {'images': []}, *parts, name='labels.json')
    parts = ["labels.json: found no usable 'data_list', expected mmpretrain's form"]
    refused(read, {'images': []}, *parts, name='labels.json', format='mmpretrain')
    content = dict(metainfo=dict(classes=['cat']), data_list=[dict(img_path='a.jpg', gt_label=[1])])
    refused(read, content, 'data_list[0]: found gt_label [1], expected numbers from 0 to 0', name='labels.json')


@pytest.mark.parametrize('path', ['../labels.csv', '/etc/passwd', 'deep/../../b.jpg', '..\\b.jpg'])
def test_a_path_that_leaves_the_image_folder_is_refused(read, root, path):
    part = f"line 2: found the path '{path}', which leaves the image folder '{root}/images', expected one below it"
    refused(read, f'image,labels\n{path},cat\n', part)


def test_an_image_that_is_listed_but_missing_is_named_with_the_nearest_one(read, root):
    message = refused(read, 'image,labels\nc.jpg,cat\ndeep/er/e.web,cat\nx,cat\n')
    assert message.startswith(
        f"{root}/labels.csv, line 3: found 'deep/er/e.web', but no such image in '{root}/images' (2 of 3 are missing), "
        "expected every image that the file lists. Did you mean 'deep/er/e.webp'?"
    )


def test_files_and_folders_that_are_missing_are_named(read):
    refused(read, None, 'labels.csv: cannot be read (No such file or directory), expected a label file')
    refused(read, None, 'to train without one: --no-validate', test_mode=True, class_names=['cat'])
    refused(read, ONE_COLUMN, 'elsewhere: cannot be listed', 'check data_root and img_dir', img_dir='elsewhere')
    refused(read, 'x', "labels.xls: found a '.xls' file, expected .xlsx; save it as .xlsx", name='labels.xls')
    refused(read, 'x', "format: found 'cvs', expected 'coco', ", "Did you mean 'csv'?", format='cvs', error=ConfigError)


def test_one_hundred_random_tables_survive_the_way_through_a_file(read, root):
    """Oracle: the labels that the table was written from."""
    rng = np.random.default_rng(0)
    names = ['cat', 'big dog', 'Kuh', 'a-b']
    for _ in range(100):
        truth = rng.integers(-1, 2, (len(IMAGES), len(names)))
        truth[0] = [1, 0, 1, -1]
        truth[1] = -1
        order = rng.permutation(len(IMAGES))
        with open(root / 'labels.csv', 'w', newline='') as file:
            writer = csv.writer(file, delimiter=str(rng.choice([',', ';', '\t'])))
            writer.writerow([*names, 'image'])
            writer.writerows([*('' if v < 0 else v for v in truth[i]), IMAGES[i]] for i in order)
        data = read(None, class_names=names)
        assert rows_of(data) == {name: truth[i].tolist() for i, name in enumerate(IMAGES)}


def test_a_label_file_of_another_folder_means_the_images_of_the_data_root(tmp_path):
    for place in ('photos/images', 'downloads/other'):
        (tmp_path / place).mkdir(parents=True)
        Image.new('RGB', (8, 8)).save(tmp_path / place / 'a.png')
    labels = tmp_path / 'downloads' / 'labels.csv'
    labels.write_text('image,labels\na.png,cat\n')
    dataset = TableDataset(data_root=str(tmp_path / 'photos'), ann_file=str(labels))
    assert dataset.img_paths == [str(tmp_path / 'photos' / 'images' / 'a.png')]
    (tmp_path / 'photos' / 'images' / 'a.png').unlink()
    dataset = TableDataset(data_root=str(tmp_path / 'photos'), ann_file=str(labels))
    assert dataset.img_paths == [str(tmp_path / 'downloads' / 'other' / 'a.png')]


def test_classes_from_a_file_that_is_not_there_is_an_error(tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.png')
    (tmp_path / 'labels.csv').write_text('image,labels\na.png,cat\n')
    with pytest.raises(DataError, match='classes_from: found none of clases.txt in .*, expected'):
        TableDataset(data_root=str(tmp_path), ann_file='labels.csv', classes_from='clases.txt')
