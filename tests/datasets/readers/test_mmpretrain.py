"""mmpretrain's multi-label JSON: where the names of the numbers come from."""

import json

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError


@pytest.fixture
def read(tmp_path):
    """read(metainfo, {'1.jpg': gt_label, ...}, **options) -> the data set; the label 'absent' is left out."""

    def make(metainfo, labels, classes=None, **options) -> TableDataset:
        for name in labels:
            path = tmp_path / 'images' / name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
        entries = [
            dict(img_path=name) | ({} if label == 'absent' else dict(gt_label=label)) for name, label in labels.items()
        ]
        content = dict(data_list=entries) | ({} if metainfo is None else dict(metainfo=metainfo))
        (tmp_path / 'labels.json').write_text(json.dumps(content))
        if classes:
            (tmp_path / 'classes.txt').write_text('\n'.join(classes))
        return TableDataset(**dict(data_root=str(tmp_path), ann_file='labels.json', test_mode=True) | options)

    return make


def labels_of(data: TableDataset) -> dict[str, list[int]]:
    return dict(zip(data.image_ids, data.labels.tolist(), strict=True))


LABELS = {'1.jpg': [0], '2.jpg': [0, 1], '3.jpg': 1, '4.jpg': [], '5.jpg': 'absent', '6.jpg': None}
EXPECTED = {
    '1.jpg': [1, 0], '2.jpg': [1, 1], '3.jpg': [0, 1], '4.jpg': [0, 0], '5.jpg': [-1, -1], '6.jpg': [-1, -1],
}  # fmt: skip
CATEGORIES = [dict(category_name='first', id=0), dict(category_name='second', id=1)]


@pytest.mark.parametrize(
    'metainfo', [dict(classes=['first', 'second']), dict(categories=CATEGORIES), dict(categories=CATEGORIES[::-1])]
)
def test_the_names_stand_in_the_file(read, metainfo):
    data = read(metainfo, LABELS)
    assert sorted(data.class_names) == ['first', 'second']
    index = data.class_names.index('second')
    assert {name for name, labels in labels_of(data).items() if labels[index] == 1} == {'2.jpg', '3.jpg'}


@pytest.mark.parametrize('metainfo', [None, {}, dict(task='multi')])
def test_the_names_stand_in_classes_txt_or_class_names(read, metainfo):
    assert labels_of(read(metainfo, LABELS, class_names=['first', 'second'])) == EXPECTED
    with pytest.raises(DataError, match='found labels that are numbers and no .*classes.*classes.txt in data_root'):
        read(metainfo, LABELS)
    data = read(metainfo, LABELS, classes=['first', 'second'])
    assert (labels_of(data), data.class_names) == (EXPECTED, ['first', 'second'])


def test_labels_may_be_names(read):
    data = read(None, {'1.jpg': ['dog', 'cat'], '2.jpg': 'dog', '3.jpg': []})
    assert (data.class_names, labels_of(data)) == (['cat', 'dog'], {'1.jpg': [1, 1], '2.jpg': [0, 1], '3.jpg': [0, 0]})


def test_ids_of_categories_that_count_from_1_are_told_from_positions(read):
    categories = [dict(name='first', id=1), dict(name='second', id=2)]
    assert labels_of(read(dict(categories=categories), {'1.jpg': [2], '2.jpg': [1]})) == {
        '1.jpg': [0, 1],
        '2.jpg': [1, 0],
    }
    assert labels_of(read(dict(categories=categories), {'1.jpg': [0], '2.jpg': [1]})) == {
        '1.jpg': [1, 0],
        '2.jpg': [0, 1],
    }
    with pytest.raises(DataError, match='which may be ids or positions, expected ids that count from 0'):
        read(dict(categories=categories), {'1.jpg': [1], '2.jpg': []})


@pytest.mark.parametrize('label', [[2], [-1], [True], [0, 'first'], ['third'], [0.5], [1, 0, 0, 1], [1, 1]])
def test_labels_that_mean_nothing_are_refused(read, label):
    with pytest.raises(DataError, match=r'data_list\[1\]: found gt_label') as caught:
        read(dict(classes=['first', 'second']), {'1.jpg': [0], '2.jpg': label})
    assert '\n' not in str(caught.value)
