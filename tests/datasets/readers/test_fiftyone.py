"""FiftyOne's labels.json: the forms that its importer takes, and that cssa predict writes."""

import json

import pytest

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError


@pytest.fixture
def read(tmp_path):
    """read(content) -> image -> labels (C,), with the photos a.jpg, sub/b.c.png, c.jpg and d.jpg beside it."""
    (tmp_path / 'data' / 'sub').mkdir(parents=True)
    for name in ('a.jpg', 'sub/b.c.png', 'c.jpg', 'd.jpg'):
        (tmp_path / 'data' / name).touch()

    def call(content, **options):
        (tmp_path / 'labels.json').write_text(json.dumps(content), 'utf-8')
        data = TableDataset(data_root=str(tmp_path), img_dir='data', ann_file='labels.json', **options)
        assert data.understanding.format == 'fiftyone'
        return data.class_names, dict(zip(data.image_ids, data.labels.tolist(), strict=True))

    return call


LABELS = {'a': ['dog', 'red cat'], 'sub/b.c': [], 'c': None}


@pytest.mark.parametrize(
    'labels',
    [
        LABELS,
        LABELS | {'a': [1, 0]},
        LABELS | {'a': [dict(label='dog', confidence=0.5), dict(label='red cat', attributes=dict(zero_shot=True))]},
    ],
)
def test_lists_of_labels(read, labels):
    names, found = read(dict(classes=['red cat', 'dog'], labels=labels))
    assert names == ['red cat', 'dog']
    assert found == {'a.jpg': [1, 1], 'sub/b.c.png': [0, 0], 'c.jpg': [-1, -1], 'd.jpg': [-1, -1]}


def test_single_labels_without_classes(read):
    names, found = read(dict(labels=dict(a='dog', c=dict(label='cat'))), include_unlisted=False)
    assert names == ['cat', 'dog']
    assert found == {'a.jpg': [0, 1], 'c.jpg': [1, 0]}


def test_an_absolute_path_is_an_image(read, tmp_path):
    _, found = read(dict(classes=['dog'], labels={str(tmp_path / 'data' / 'a.jpg'): ['dog'], 'c': []}))
    assert found['a.jpg'] == [1]


@pytest.mark.parametrize('label', [7, None, 0.5, {}, True])
def test_a_label_without_a_name_is_one_line(read, label):
    with pytest.raises(DataError, match=r"labels.json, 'a': found the label") as error:
        read(dict(classes=['dog'], labels=dict(a=[label])))
    assert '\n' not in str(error.value)
