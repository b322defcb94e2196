"""VGG Image Annotator: attributes of files and regions."""

import json

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError


@pytest.fixture
def read(tmp_path):
    """read({'1.jpg': (file attributes, [region attributes, ...])}, wrap=..., **options) -> the data set."""

    def make(images, wrap=lambda entries: entries, version=2, **options) -> TableDataset:
        entries = {}
        for name, (attributes, regions) in images.items():
            path = tmp_path / 'images' / name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
            regions = [dict(shape_attributes=dict(name='rect', x=1), region_attributes=each) for each in regions]
            if version == 1:
                regions = {str(number): each for number, each in enumerate(regions)}
            entries[f'{name}99'] = dict(filename=name, size=99, regions=regions, file_attributes=attributes)
        (tmp_path / 'via.json').write_text(json.dumps(wrap(entries)))
        return TableDataset(**dict(data_root=str(tmp_path), ann_file='via.json') | options)

    return make


def labels_of(data: TableDataset) -> dict[str, list[int]]:
    return dict(zip(data.image_ids, data.labels.tolist(), strict=True))


MARKS = {
    '1.jpg': ({'tags': {'cat': True, 'dog': True}}, []),
    '2.jpg': ({'tags': {'cat': False, 'dog': True}}, []),
    '3.jpg': ({'tags': {}}, []),
    '4.jpg': ({}, []),
}
EXPECTED = {'1.jpg': [1, 1], '2.jpg': [0, 1], '3.jpg': [0, 0], '4.jpg': [-1, -1]}


@pytest.mark.parametrize('is_project', [True, False])
def test_marked_boxes_are_labels(read, is_project):
    data = read(MARKS, lambda entries: {'_via_settings': {}, '_via_img_metadata': entries} if is_project else entries)
    assert (data.understanding.format, data.class_names, labels_of(data)) == ('via', ['cat', 'dog'], EXPECTED)


@pytest.mark.parametrize('version', [1, 2])
def test_regions_label_their_image(read, version):
    regions = {
        '1.jpg': ({}, [{'kind': 'cat'}, {'kind': 'dog'}]),
        '2.jpg': ({}, [{'kind': 'dog'}] * 2),
        '4.jpg': ({}, []),
    }
    expected = {'1.jpg': [1, 1], '2.jpg': [0, 1], '4.jpg': [-1, -1]}
    assert labels_of(read(regions, version=version)) == expected
    assert labels_of(read(regions, version=version, unannotated='negative', test_mode=True))['4.jpg'] == [0, 0]
    assert set(labels_of(read(regions, version=version, unannotated='drop', include_unlisted=False))) == {
        '1.jpg', '2.jpg',
    }  # fmt: skip


def test_one_of_several_attributes_is_chosen(read):
    images = {'1.jpg': ({'caption': 'a cat'}, [{'kind': 'cat'}]), '2.jpg': ({'caption': ''}, [{'kind': 'dog'}])}
    with pytest.raises(DataError, match='labels of 2 questions: caption .*kind .*set label_column='):
        read(images)
    assert labels_of(read(images, label_column='kind', test_mode=True)) == {'1.jpg': [1, 0], '2.jpg': [0, 1]}


@pytest.mark.parametrize(
    ('images', 'message'),
    [
        ({'1.jpg': ({'tags': ['cat']}, [])}, "entry '1.jpg99': found the attribute"),
        ({'1.jpg': ([1], [])}, 'found attributes that are no object'),
        ({'1.jpg': ({}, [])}, 'found 1 tasks and no label in any.*in VIA'),
    ],
)
def test_other_forms_are_refused(read, images, message):
    with pytest.raises(DataError, match=message) as caught:
        read(images)
    assert '\n' not in str(caught.value)
    with pytest.raises(DataError, match='found regions that are no list'):
        read(MARKS, lambda entries: {key: dict(each, regions=7) for key, each in entries.items()})
    with pytest.raises(DataError, match="found no 'filename'"):
        read(MARKS, lambda entries: {key: dict(each, filename=3) for key, each in entries.items()})
