"""Names in label files lead to no file outside of the data: not by '..', not from the root, not as an address."""

import json
import os
from urllib.parse import quote

import pytest

from cssa_mm.datasets import COCOMultiLabelDataset, TableDataset, VOCMultiLabelDataset
from cssa_mm.errors import CSSAError, DataError
from tests.reliability.test_round_trips import FORMS, Labels

# '{}' is a folder beside that of the data, with an image that is there.
EVIL = [
    '../../outside/secret.jpg', 'sub/../../../outside/secret.jpg', '..\\..\\outside\\secret.jpg', '{}/secret.jpg',
    './../../outside/./secret.jpg', 'file://{}/secret.jpg', '//{}/secret.jpg', 'C:\\outside\\secret.jpg', '..', '/',
    '.', 'http://host/../../outside/secret.jpg', '%2e%2e/%2e%2e/outside/secret.jpg', 'a\0.jpg', '~/secret.jpg',
    'images/..',
]  # fmt: skip
# These write files by the names of images.
BY_FILES = ('yolo', 'voc', 'folders')


@pytest.fixture
def root(tmp_path):
    """A folder of data with one image, and beside it a folder with another."""
    for path in ('root/images/a.jpg', 'root/images/b.jpg', 'outside/secret.jpg'):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path / 'root'


def paths_of(data) -> list[str]:
    return list(data.read_annotations().img_paths)


def is_kept_out(root, make) -> bool:
    """Whether a data set is refused in a line, or stays in its folder."""
    try:
        paths = paths_of(make())
    except CSSAError:
        return True
    return all(os.path.abspath(path).startswith(f'{root}{os.sep}') for path in paths)


@pytest.mark.parametrize('form', [name for name in FORMS if name not in BY_FILES])
def test_a_name_leads_to_no_image_outside(root, form):
    for name in EVIL:
        labels = Labels(['cat', 'dog'], ['a.jpg', name.format(root.parent / 'outside')], [[1, 0], [0, 1]])
        if form == 'workbook' and '\0' in name:  # a cell holds no NUL
            continue
        options = FORMS[form].write(root, labels)
        make = lambda options=options: TableDataset(  # noqa: E731
            data_root=str(root), img_dir='images', lazy_init=True, **options
        )
        assert is_kept_out(root, make), name


@pytest.mark.parametrize('name', [name for name in EVIL if '\\' not in name])
def test_sets_of_coco_and_voc_keep_to_their_folder(root, name):
    name = name.format(root.parent / 'outside')
    FORMS['coco'].write(root, Labels(['cat'], ['a.jpg', name], [[1], [1]]))
    options = dict(data_root=str(root), class_names=['cat'], lazy_init=True)
    assert is_kept_out(root, lambda: COCOMultiLabelDataset(ann_file='instances.json', img_dir='images', **options))
    for folder in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (root / folder).mkdir(parents=True)
    text = f'<annotation><filename>{name}</filename><object><name>cat</name></object></annotation>'
    (root / 'Annotations/c.xml').write_text(text)
    for listed in ('c', os.path.splitext(name)[0]):
        (root / 'ImageSets/Main/train.txt').write_text(f'{listed}\n')
        assert is_kept_out(root, lambda: VOCMultiLabelDataset(unannotated='negative', **options))
    assert is_kept_out(root, lambda: TableDataset(data_root=str(root), ann_file='Annotations', lazy_init=True))


@pytest.mark.parametrize('name', EVIL)
def test_labelme_and_via_keep_to_their_folder(root, name):
    name = name.format(root.parent / 'outside')
    shape = dict(label='cat', points=[[1, 1]], shape_type='point')
    (root / 'images/a.json').write_text(json.dumps(dict(version='5', flags={}, shapes=[shape], imagePath=name)))
    assert is_kept_out(root, lambda: TableDataset(data_root=str(root), ann_file='images', lazy_init=True))
    entry = dict(filename=name, regions=[], file_attributes=dict(kind='cat'))
    (root / 'via.json').write_text(json.dumps({'x9': entry}))
    options = dict(data_root=str(root), img_dir='images', lazy_init=True)
    assert is_kept_out(root, lambda: TableDataset(ann_file='via.json', **options))
    tasks = [dict(data=dict(image=f'/data/local-files/?d={quote(name)}'), annotations=[dict(result=[])])]
    (root / 'tasks.json').write_text(json.dumps(tasks))
    assert is_kept_out(root, lambda: TableDataset(ann_file='tasks.json', **options))


@pytest.mark.parametrize(
    'line',
    [
        'train: ../outside',
        'train: {}',
        'path: ../outside\ntrain: .',
        'path: {}\ntrain: images',
        'path: ..\ntrain: outside',
    ],
)
def test_a_data_yaml_leads_to_no_folder_outside(root, line):
    (root.parent / 'outside/secret.txt').write_text('0 .5 .5 .1 .1\n')
    (root / 'data.yaml').write_text(f'{line.format(root.parent / "outside")}\nnames: [cat]\n')
    with pytest.raises(DataError, match='which leads out of'):
        paths_of(TableDataset(data_root=str(root), ann_file='data.yaml', lazy_init=True))


def test_a_data_yaml_takes_no_names_from_a_file_outside(root):
    (root.parent / 'outside/names.txt').write_text('secret\n')
    (root / 'data.yaml').write_text('train: images\nnames: ../outside/names.txt\n')
    with pytest.raises(DataError, match='found names: ../outside/names.txt, which leads out of'):
        paths_of(TableDataset(data_root=str(root), ann_file='data.yaml', lazy_init=True))


def test_links_that_the_user_made_are_followed(root):
    """A link says where data lie; whoever can make one can copy a file as well."""
    (root / 'images/far').symlink_to(root.parent / 'outside')
    (root / 'images/c.jpg').symlink_to(root.parent / 'outside/secret.jpg')
    (root / 'labels.csv').write_text('image,labels\nfar/secret.jpg,cat\nc.jpg,dog\n')
    data = TableDataset(data_root=str(root), img_dir='images', ann_file='labels.csv')
    assert data.image_ids == ['a.jpg', 'b.jpg', 'c.jpg', 'far/secret.jpg']
    (root / 'far').symlink_to(root.parent / 'outside')
    (root.parent / 'outside/secret.txt').write_text('0 .5 .5 .1 .1\n')
    (root / 'data.yaml').write_text('train: far\nnames: [cat]\n')
    assert len(paths_of(TableDataset(data_root=str(root), ann_file='data.yaml', lazy_init=True))) == 1
