import json

import numpy as np
import pytest

from cssa_mm.datasets import COCOMultiLabelDataset
from cssa_mm.datasets.coco import COCO_CLASSES
from cssa_mm.errors import DataError


def rewrite(root, **changes):
    path = root / 'instances.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_images_with_instances_come_sorted_by_id_as_strings_with_their_labels(coco_options):
    data = COCOMultiLabelDataset(**coco_options)
    assert data.image_ids == ['10', '100', '25', '33', '44', '58', '9']
    assert data.labels.tolist() == [
        [0, 0, 1], [1, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0],
    ]  # fmt: skip
    assert data.labels.dtype == np.int8
    assert data.img_paths[0] == f'{coco_options["data_root"]}/train/000000000010.jpg'


def test_images_without_instances_stay_on_request_as_negatives(coco_options):
    data = COCOMultiLabelDataset(keep_empty=True, **coco_options)
    assert data.image_ids == ['10', '100', '25', '33', '44', '58', '7', '9']
    assert data.labels[6].tolist() == [0, 0, 0]


def test_columns_follow_the_class_names_whatever_the_order_of_the_categories(coco_options):
    coco_options['class_names'] = ['dining table', 'person', 'dog']
    assert COCOMultiLabelDataset(**coco_options).labels[1].tolist() == [1, 1, 0]


def test_coco_has_80_distinct_classes_in_the_order_of_its_category_ids():
    assert len(set(COCO_CLASSES)) == 80
    assert COCO_CLASSES[0] == 'person'
    assert COCO_CLASSES[60] == 'dining table'
    assert COCO_CLASSES[-1] == 'toothbrush'


def test_a_missing_annotation_file_is_named(coco_options):
    coco_options['ann_file'] = 'instanses.json'
    with pytest.raises(DataError, match='coco/instanses.json: cannot be read .*expected an instances JSON'):
        COCOMultiLabelDataset(**coco_options)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'{"images": [', 'found no valid JSON'),
        (b'\xff\xfe\x00', 'cannot be read'),
        (b'[1, 2]', 'found a list at the top'),
        (b'{"images": [], "annotations": []}', "no usable entry for 'categories'"),
        (b'{"images": [], "annotations": [], "categories": []}', "no class 'person' among its 0 categories"),
    ],
)
def test_a_file_that_is_no_instances_json_is_refused_in_one_line(coco_root, coco_options, content, message):
    (coco_root / 'instances.json').write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        COCOMultiLabelDataset(**coco_options)
    assert str(caught.value).startswith(str(coco_root / 'instances.json'))
    assert '\n' not in str(caught.value)


def test_a_category_that_the_class_list_lacks_is_named_with_the_nearest_class(coco_options):
    coco_options['class_names'] = ['persons', 'dog', 'dining table']
    with pytest.raises(DataError, match="found class 'person', expected .*Did you mean 'persons'"):
        COCOMultiLabelDataset(**coco_options)


def test_a_class_that_the_annotation_lacks_is_named_with_the_nearest_category(coco_options):
    coco_options['class_names'] = ['person', 'dog', 'dining table', 'hot dog', 'cat']
    with pytest.raises(DataError, match="no class 'hot dog' among its 3 categories.*Did you mean 'dog'"):
        COCOMultiLabelDataset(**coco_options)


@pytest.mark.parametrize(
    ('instance', 'message'),
    [
        (dict(image_id=1234, category_id=1), "unknown image '1234'"),
        (dict(image_id=9, category_id=5), "unknown category '5'"),
        (dict(image_id=9), "no usable entry for 'category_id'"),
    ],
)
def test_an_instance_that_points_nowhere_is_refused(coco_root, coco_options, instance, message):
    rewrite(coco_root, annotations=[instance])
    with pytest.raises(DataError, match=message):
        COCOMultiLabelDataset(**coco_options)


def test_an_annotation_without_instances_is_refused(coco_root, coco_options):
    rewrite(coco_root, annotations=[])
    with pytest.raises(DataError, match='found no image'):
        COCOMultiLabelDataset(**coco_options)


def test_an_image_id_that_the_annotation_lists_twice_is_refused(coco_root, coco_options):
    images = json.loads((coco_root / 'instances.json').read_text())['images']
    rewrite(coco_root, images=[*images, dict(id=9, file_name='other.jpg')])
    with pytest.raises(DataError, match="image id '9' more than once"):
        COCOMultiLabelDataset(**coco_options)
