"""Label files are found where people and tools put them; two that fit are a question, not a guess."""

import json

import pytest

from cssa_mm.datasets.discovery import LocalFiles, discover
from cssa_mm.datasets.readers.source import LabelSource
from cssa_mm.errors import DataError

TABLE = 'image,labels\n1.jpg,cat\n'
COCO = json.dumps(dict(images=[dict(id=1, file_name='1.jpg')], annotations=[], categories=[dict(id=1, name='cat')]))
STUDIO = json.dumps([dict(id=1, data=dict(image='1.jpg'), annotations=[])])
COCO_FILES = ('instances_train1', 'instances_val', 'captions_train1', 'captions_val')
LABELME = '{"shapes": [{"label": "cat"}], "imagePath": "1.jpg"}'
VOC = '<annotation><filename>1.jpg</filename><object><name>cat</name></object></annotation>'
CVAT = '<annotations><version>1.1</version><image id="0" name="1.jpg"><tag label="cat"></tag></image></annotations>'


@pytest.fixture
def folder(tmp_path):
    """folder({path: text}) -> a directory that holds these files; images are empty."""

    def make(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return str(tmp_path)

    return make


@pytest.mark.parametrize(
    ('files', 'expected'),
    [
        ({'labels.csv': TABLE, 'test.csv': TABLE}, {'train': 'labels.csv', 'test': 'test.csv'}),
        ({'train.csv': TABLE, 'val.csv': TABLE}, {'train': 'train.csv', 'val': 'val.csv'}),
        ({'tags.csv': TABLE, 'classes.txt': 'cat\n', 'README.txt': 'image\n'}, {'train': 'tags.csv'}),
        # Kaggle's: the labels of the training set have its name.
        ({'train.csv': TABLE, 'sample_submission.csv': TABLE}, {'train': 'train.csv'}),
        ({'train.csv': TABLE, 'test.csv': 'image\n2.jpg\n'}, {'train': 'train.csv'}),
        ({'data/labels.csv': TABLE, 'data/images/1.jpg': ''}, {'train': 'data/labels.csv'}),
        ({'images/labels.csv': TABLE, 'images/1.jpg': ''}, {'train': 'images/labels.csv'}),
        ({'labels.csv': TABLE, 'train.json': COCO, 'other.csv': TABLE}, {'train': 'labels.csv'}),
        # A file at the top comes before those in folders.
        ({'labels.csv': TABLE, 'annotations/old.json': COCO}, {'train': 'labels.csv'}),
        (
            {'train/_annotations.coco.json': COCO, 'valid/_annotations.coco.json': COCO, 'README.roboflow.txt': 'x'},
            {'train': 'train/_annotations.coco.json', 'val': 'valid/_annotations.coco.json'},
        ),
        ({'annotations/instances_default.json': COCO}, {'train': 'annotations/instances_default.json'}),
        (
            {f'annotations/{name}.json': COCO for name in COCO_FILES},
            {'train': 'annotations/instances_train1.json', 'val': 'annotations/instances_val.json'},
        ),
        ({'project-3-at-2026-11-02.json': STUDIO}, {'train': 'project-3-at-2026-11-02.json'}),
        ({'annotations.xml': CVAT}, {'train': 'annotations.xml'}),
        ({'annotations/1.xml': VOC, 'annotations/2.xml': VOC, 'images/1.jpg': ''}, {'train': '.'}),
        ({'train/1.xml': VOC, 'train/1.jpg': '', 'valid/2.xml': VOC}, {'train': 'train', 'val': 'valid'}),
        ({'1.jpg': '', '1.xml': VOC, 'predefined_classes.txt': 'cat\n'}, {'train': '.'}),
        ({'labels/1.txt': '0 .5 .5 .1 .1\n', 'images/1.jpg': '', 'classes.txt': 'cat\n'}, {'train': '.'}),
        # Lists of images that data.yaml names hold no labels.
        (
            {'data.yaml': 'train: train.txt\nnames: [cat]\n', 'train.txt': 'images/1.jpg\n', 'images/1.jpg': ''},
            {'train': 'data.yaml'},
        ),
        ({'annots/1.xml': VOC, 'images/1.jpg': ''}, {'train': '.'}),
        ({'celeba.txt': '2\nYoung\n1.jpg 1\n2.jpg -1\n'}, {'train': 'celeba.txt'}),
        ({'1.xml': VOC, '2.xml': VOC, '1.jpg': ''}, {'train': '.'}),
        ({'1.jpg': '', '1.json': LABELME, '2.json': LABELME, '3.json': LABELME}, {'train': '.'}),
        ({'cat/1.jpg': '', 'dog/2.jpg': ''}, {'train': '.'}),
        ({'photos/cat/2020/1.jpg': '', 'photos/dog/2.jpg': '', 'notes/x.doc': ''}, {'train': 'photos'}),
        ({'train/cat/1.jpg': '', 'train/dog/2.jpg': '', 'test/cat/3.jpg': ''}, {'train': 'train', 'test': 'test'}),
    ],
)  # fmt: skip
def test_the_label_file_of_each_part_is_found(folder, files, expected):
    found = discover(folder(files))
    assert {part: options['ann_file'] for part, options in found.items()} == expected


def test_the_parts_of_a_yolo_file_are_found_in_it(folder):
    text = 'train: train/images\nval: ../valid/images\ntest: test/images\nnames: [cat]\n'
    root = folder({'data.yaml': text, 'train/images/1.jpg': '', 'valid/images/2.jpg': ''})
    assert discover(root) == dict(  # there is no test/images
        train=dict(ann_file='data.yaml', subset='train'), val=dict(ann_file='data.yaml', subset='val')
    )


@pytest.mark.parametrize('name', ['data.yaml', 'obj.data'])
def test_a_part_whose_images_are_not_there_is_left_out(folder, name):
    """Roboflow names train, val and test in every data.yaml."""
    yaml = 'train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [cat]\n'
    darknet = 'train = train/images\nvalid = valid/images\nnames = obj.names\n'
    files = {name: yaml if name == 'data.yaml' else darknet, 'obj.names': 'cat\n', 'train/images/1.jpg': ''}
    assert discover(folder(files)) == dict(train=dict(ann_file=name, subset='train'))


def test_a_yolo_file_that_is_no_yaml_is_refused_in_one_line(folder):
    root = folder({'data.yaml': 'train: x\nval: y\nnames: [cat', 'x/1.jpg': ''})
    with pytest.raises(DataError, match='data.yaml: found no valid YAML') as caught:
        discover(root)
    assert '\n' not in str(caught.value)


def test_where_the_training_labels_are_named_the_others_are_found(folder):
    root = folder({'a.csv': TABLE, 'b.csv': TABLE, 'test.csv': TABLE})
    assert discover(root, 'b.csv') == dict(train=dict(ann_file='b.csv'), test=dict(ann_file='test.csv'))


def test_two_files_that_fit_are_named_with_the_option_that_chooses(folder):
    root = folder({'a.csv': TABLE, 'b.csv': TABLE})
    with pytest.raises(DataError, match=r'found 2 label files for train \(a.csv, b.csv\), .* --labels FILE'):
        discover(root)


def test_a_folder_without_labels_is_refused_with_what_is_expected(folder):
    with pytest.raises(DataError, match=r'found no label file, expected labels.csv \(image,labels\)'):
        discover(folder({'images/1.jpg': ''}))


def test_a_single_folder_with_images_is_no_class(folder):
    """KITTI's: image_2 and label_2."""
    with pytest.raises(DataError, match='found no label file'):
        discover(folder({'image_2/1.jpg': '', 'label_2/1.txt': 'Car 0.0 0 1.5\n'}))


def test_a_table_of_a_form_that_is_not_read_is_named(folder):
    with pytest.raises(DataError, match='found no label file but labels.parquet, which is not read, expected'):
        discover(folder({'labels.parquet': 'PAR1', 'images/1.jpg': ''}))


def test_a_pointer_of_git_lfs_is_no_table(folder):
    root = folder({'labels.csv': 'version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n'})
    with pytest.raises(DataError, match="found a pointer of Git LFS, .* 'git lfs pull'"):
        LabelSource(LocalFiles(root), f'{root}/labels.csv').content  # noqa: B018


@pytest.mark.parametrize('place', ['', 'images/'])
def test_images_of_the_same_names_are_found_in_the_folder_of_their_part(folder, place):
    files = {f'annotations/instances_{part}2017.json': COCO for part in ('train', 'val')}
    images = {f'{place}{part}2017/1.jpg': '' for part in ('train', 'val')}
    found = discover(folder(files | images))
    assert {part: options['img_dir'] for part, options in found.items()} == {
        'train': f'{place}train2017',
        'val': f'{place}val2017',
    }


def test_images_of_other_names_need_no_folder_of_a_part(folder):
    files = {f'annotations/instances_{part}.json': COCO for part in ('train', 'val')}
    found = discover(folder(files | {'train/1.jpg': '', 'val/2.jpg': '', 'unlabelled/3.jpg': ''}))
    assert not any('img_dir' in options for options in found.values())


def test_labels_a_folder_deeper_are_named(folder):
    with pytest.raises(DataError, match=r'found no label file.*the labels of export/ are read with --data-root'):
        discover(folder({'export/labels.csv': TABLE, 'export/images/1.jpg': ''}))
