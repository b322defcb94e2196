import json

import numpy as np
import pytest

from cssa_mm.datasets.coco import COCOMultiLabelDataset
from cssa_mm.errors import ConfigError, DataError


@pytest.fixture
def data(coco_options):
    """data(boxes, **changes of image 100) -> the toy data set; boxes are (image, category, bbox)."""

    def make(boxes: list[tuple], **changes) -> COCOMultiLabelDataset:
        path = f'{coco_options["data_root"]}/{coco_options["ann_file"]}'
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
        for image in content['images']:
            image.update(dict(width=90, height=60) | (changes if image['id'] == 100 else {}))
        content['annotations'] += [dict(image_id=i, category_id=c, bbox=b, segmentation=[[1, 2]]) for i, c, b in boxes]
        with open(path, 'w', encoding='utf-8') as file:
            json.dump(content, file)
        return COCOMultiLabelDataset(**coco_options)

    return make


def test_boxes_come_by_image_and_class_from_the_corner_and_those_without_one_are_left_out(data):
    dataset = data([(100, 1, [10, 20, 30, 5]), (100, 1, [0, 0, 90, 60]), (9, 18, [1, 2, 3, 4])], width=100)
    found = dict(zip(dataset.image_ids, dataset.boxes(), strict=True))
    person, dog = dataset.class_names.index('person'), dataset.class_names.index('dog')
    assert found['100'].size == (100, 60)
    assert set(found['100'].boxes) == {person}  # its dining table has no box
    np.testing.assert_array_equal(found['100'].boxes[person], [[10, 20, 40, 25], [0, 0, 90, 60]])
    np.testing.assert_array_equal(found['9'].boxes[dog], [[1, 2, 4, 6]])
    assert found['10'].boxes == {}


@pytest.mark.parametrize(
    ('box', 'changes', 'message'),
    [
        ([1, 2, 3], {}, r'found the bbox \[1, 2, 3\], expected four numbers'),
        ([1, 2, 3, 'x'], {}, 'expected four numbers'),
        ([1, 2, 3, 4], dict(width=None), 'found no size of the image 100'),
    ],
)
def test_a_broken_annotation_is_named(data, box, changes, message):
    with pytest.raises(DataError, match=message):
        data([(100, 1, box)], **changes).boxes()


def test_a_set_without_boxes_says_so(toy_data, tmp_path):
    from cssa_mm.datasets.table import TableDataset

    (tmp_path / 'labels.csv').write_text('image,labels\na.png,dog\n')
    dataset = TableDataset(data_root=str(tmp_path), ann_file='labels.csv', lazy_init=True)
    with pytest.raises(ConfigError, match='found a TableDataset, whose annotations hold no boxes'):
        dataset.boxes()
