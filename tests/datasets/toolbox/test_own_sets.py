"""mmpretrain's data sets as ours: the same images and labels, or one line."""

import json

import numpy as np
import pytest
from mmpretrain.datasets import CustomDataset, MultiLabelDataset
from PIL import Image

from cssa_mm.datasets.building import build_dataset
from cssa_mm.datasets.toolbox.own_sets import adapted
from cssa_mm.errors import ConfigError


@pytest.fixture
def root(tmp_path):
    for number in range(5):
        for path in (tmp_path / 'images' / f'{number}.png', tmp_path / 'folders' / 'dc'[number % 2] / f'{number}.png'):
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    entries = [dict(img_path=f'{number}.png', gt_label=labels) for number, labels in enumerate([[0], [1, 2], [], [2]])]
    content = dict(metainfo=dict(classes=['cat', 'dog', 'sun']), data_list=entries)
    (tmp_path / 'labels.json').write_text(json.dumps(content))
    (tmp_path / 'labels.txt').write_text('3.png 1\n0.png 0\n2.png 1\n')
    (tmp_path / 'photos.txt').write_text('3.png\n0.png\n')
    return tmp_path


def ours(options):
    found = build_dataset(adapted(options, 'w'), 'w')
    found.full_init()
    return {
        path: np.flatnonzero(labels == 1).tolist() if labels.size and (labels >= 0).all() else None
        for path, labels in zip(found.img_paths, found.hidden_labels, strict=True)
    }


def theirs(kind, options):
    found = kind(**{key: value for key, value in options.items() if key != 'type'})
    infos = [found.get_data_info(index) for index in range(len(found))]
    return {
        info['img_path']: np.atleast_1d(info['gt_label']).tolist() if 'gt_label' in info else None for info in infos
    }


@pytest.mark.smoke
@pytest.mark.parametrize(
    ('kind', 'options'),
    [
        (MultiLabelDataset, dict(ann_file='labels.json', data_prefix='images')),
        (MultiLabelDataset, dict(ann_file='labels.json', data_prefix=dict(img_path='images'), serialize_data=False)),
        (CustomDataset, dict(ann_file='labels.txt', data_prefix='images', metainfo=dict(classes=('cat', 'dog')))),
        (CustomDataset, dict(ann_file='labels.txt', data_prefix='images', classes=['cat', 'dog'])),
        (CustomDataset, dict(data_prefix='folders')),
        (CustomDataset, dict(data_prefix='images', with_label=False)),
        (CustomDataset, dict(ann_file='photos.txt', data_prefix='images', with_label=False)),
    ],
)
def test_images_and_labels_are_those_that_mmpretrain_reads(root, kind, options):
    options = dict(options, type=kind.__name__, data_root=str(root))
    assert ours(options) == theirs(kind, options)
    assert ours(dict(options, type=kind)) == theirs(kind, options)  # a class in place of its name


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(type='MultiLabelDataset', ann_file='a.json', indices=3), r'w.indices: found 3 in a MultiLabelDataset'),
        (dict(type='CustomDataset', ann_file='a', extensions=('.gif',)), r'w.extensions: found .* TableDataset'),
        (
            dict(type='CustomDataset', data_prefix=dict(img='x')),
            r'w.data_prefix: found .*img_path=FOLDER.*TableDataset',
        ),
        (dict(type='CustomDataset', anno_file='a'), r"w.anno_file: found 'a' in a CustomDataset"),
        (dict(type='MultiLabelDataset', data_root='x'), r'w.ann_file: found none in a MultiLabelDataset'),
        (dict(type='CIFAR10', data_root='x'), r'w.type: found CIFAR10 of mmpretrain, .*TableDataset'),
        (dict(type='MultiTaskDataset', ann_file='x'), r'w.type: found MultiTaskDataset of mmpretrain, .*TableDataset'),
        (dict(type='VOC', data_root='x'), r'w.type: found VOC of mmpretrain, .*TableDataset'),
    ],
)
def test_what_has_no_match_is_one_line_that_names_ours(options, words):
    with pytest.raises(ConfigError, match=words) as caught:
        adapted(options, 'w')
    assert '\n' not in str(caught.value)


def test_other_data_sets_stay_as_they_are():
    options = dict(type='TableDataset', data_root='x', ann_file=None)
    assert adapted(options, 'w') == options
