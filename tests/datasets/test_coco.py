import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.datasets import COCOMultiLabelDataset
from cssa_mm.datasets.coco import COCO_CLASSES
from cssa_mm.datasets.readers.objects.instances import without_polygons
from cssa_mm.errors import ConfigError, DataError

CONFIGS = Path(__file__).parents[2] / 'configs'


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


@pytest.mark.parametrize('options', [dict(unannotated='negative'), dict(unannotated='unlabelled'), dict()])
def test_images_without_instances_are_negative_unlabelled_or_left_out_and_counted(coco_options, options):
    data = COCOMultiLabelDataset(**options, **coco_options)
    option = options.get('unannotated', 'drop')
    rows = dict(zip(data.image_ids, data.labels.tolist(), strict=True))
    assert rows.get('7') == {'negative': [0, 0, 0], 'unlabelled': [-1, -1, -1], 'drop': None}[option]
    assert len(rows) == (7 if option == 'drop' else 8)
    assert data.understanding.facts['unannotated'].startswith('1 of 8 images have no annotation: ')
    left_out = {"no annotation (unannotated='drop')": ['000000000007.jpg']}
    assert data.understanding.left_out == (left_out if option == 'drop' else {})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(unannotated='drop', keep_empty=True), "found True beside unannotated='drop'"),
        (dict(unannotated='drop', keep_empty=False), "found False beside unannotated='drop'"),
        (dict(unannotated='negatives'), "Did you mean 'negative'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(coco_options, options, message):
    with pytest.raises(ConfigError, match=message):
        COCOMultiLabelDataset(**options, **coco_options)


# ---------------------------------------------------------------- classes and files of annotation tools


def test_without_class_names_the_categories_that_are_shown_are_the_classes_by_id(coco_root, coco_options):
    categories = json.loads((coco_root / 'instances.json').read_text())['categories']
    rewrite(coco_root, categories=[*categories, dict(id=0, name='things'), dict(id=9, name='Person')])
    del coco_options['class_names']
    data = COCOMultiLabelDataset(**coco_options)
    assert data.class_names == ['person', 'dog', 'dining table']
    assert data.labels.tolist() == [
        [0, 0, 1], [1, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1], [0, 1, 0],
    ]  # fmt: skip
    assert list(data.understanding.left) == ['things']


def test_a_file_that_has_changed_is_read_again(coco_root, coco_options):
    del coco_options['class_names']
    assert COCOMultiLabelDataset(**coco_options).class_names == ['person', 'dog', 'dining table']
    path = coco_root / 'instances.json'
    path.write_text(path.read_text().replace('"dog"', '"cat"'))
    assert COCOMultiLabelDataset(**coco_options).class_names == ['person', 'cat', 'dining table']


def test_a_file_that_declares_all_of_coco_s_categories_has_its_classes(coco_root, coco_options):
    rewrite(
        coco_root,
        categories=[dict(id=100 - number, name=name) for number, name in enumerate(COCO_CLASSES)],
        annotations=[dict(image_id=9, category_id=100 - 16)],
    )
    del coco_options['class_names']
    data = COCOMultiLabelDataset(**coco_options)
    assert tuple(data.class_names) == COCO_CLASSES
    assert data.get_cat_ids(0) == [16]


def test_a_validation_set_has_the_classes_of_its_training_set(coco_root, coco_options):
    content = json.loads((coco_root / 'instances.json').read_text())
    content['annotations'] = [item for item in content['annotations'] if item['category_id'] != 1]
    content['categories'] = [item for item in content['categories'] if item['id'] != 1]
    (coco_root / 'valid.json').write_text(json.dumps(content))
    del coco_options['class_names']
    data = COCOMultiLabelDataset(**coco_options | dict(ann_file='valid.json', classes_from='instances.json'))
    assert data.class_names == ['person', 'dog', 'dining table']
    assert [question.kind for question in data.understanding.questions] == ['undeclared_classes']
    assert 'person' in data.understanding.questions[0].text
    assert not data.labels[:, 0].any()
    assert data.labels[:, 1:].any(axis=1).all()


def test_a_drawn_split_labels_annotated_images_alone(coco_root, coco_options):
    content = json.loads((coco_root / 'instances.json').read_text())
    content['annotations'] = [item for item in content['annotations'] if item['image_id'] in (9, 100, 25, 33)]
    rewrite(coco_root, **content)
    options = coco_options | dict(unannotated='unlabelled')
    for seed in range(1, 6):
        data = COCOMultiLabelDataset(split=dict(proportion=0.5, seed=seed), **options)
        labelled = {data.image_ids[i] for i in data.labelled_indices}
        assert len(data) == 8
        assert len(labelled) == 2
        assert labelled < {'9', '100', '25', '33'}
        # The same as of the annotated images alone.
        alone = COCOMultiLabelDataset(split=dict(proportion=0.5, seed=seed), **coco_options)
        assert labelled == {alone.image_ids[i] for i in alone.labelled_indices}


def test_a_category_without_instances_need_not_be_a_class(coco_root, coco_options):
    categories = json.loads((coco_root / 'instances.json').read_text())['categories']
    rewrite(coco_root, categories=[*categories, dict(id=0, name='things')])
    assert COCOMultiLabelDataset(**coco_options).class_names == ['person', 'dog', 'dining table']


def test_ids_may_be_numbers_or_their_texts(coco_root, coco_options):
    expected = COCOMultiLabelDataset(**coco_options)
    content = json.loads((coco_root / 'instances.json').read_text())
    for item in content['annotations']:
        item.update(image_id=str(item['image_id']), category_id=float(item['category_id']))
    for item in content['categories']:
        item['id'] = str(item['id'])
    rewrite(coco_root, **content)
    data = COCOMultiLabelDataset(**coco_options)
    assert data.image_ids == expected.image_ids
    np.testing.assert_array_equal(data.labels, expected.labels)


@pytest.mark.parametrize('form', ['train\\{}', 'C:\\work\\train\\{}', '/content/set/{}', 'https://host/{}'])
def test_images_are_found_by_what_another_machine_wrote(coco_root, coco_options, form):
    expected = COCOMultiLabelDataset(**coco_options)
    images = json.loads((coco_root / 'instances.json').read_text())['images']
    rewrite(coco_root, images=[image | dict(file_name=form.format(image['file_name'])) for image in images])
    coco_options['img_dir'] = '' if form.startswith('train') else 'train'
    data = COCOMultiLabelDataset(**coco_options)
    assert data.image_ids == expected.image_ids
    assert [Path(path) for path in data.img_paths] == [Path(path) for path in expected.img_paths]


def test_an_image_of_another_folder_is_not_taken_for_one_of_the_same_name(coco_root, coco_options):
    images = json.loads((coco_root / 'instances.json').read_text())['images']
    (coco_root / 'train' / 'south').mkdir()
    (coco_root / 'train' / '000000000009.jpg').rename(coco_root / 'train' / 'south' / '000000000009.jpg')
    names = {9: 'north/000000000009.jpg'}
    changed = [image | dict(file_name=names.get(image['id'], image['file_name'])) for image in images]
    rewrite(coco_root, images=changed)
    assert COCOMultiLabelDataset(**coco_options).img_paths[-1].endswith('train/north/000000000009.jpg')
    changed = [image | dict(file_name='000000000009.jpg') if image['id'] == 9 else image for image in changed]
    rewrite(coco_root, images=changed)
    assert COCOMultiLabelDataset(**coco_options).img_paths[-1].endswith('train/south/000000000009.jpg')


def test_a_lost_folder_counts_only_where_every_name_has_it(coco_root, coco_options):
    images = json.loads((coco_root / 'instances.json').read_text())['images']
    (coco_root / 'train' / 'south').mkdir()
    (coco_root / 'train' / 'south' / 'x.jpg').touch()
    everywhere = [image | dict(file_name=f'/content/{image["file_name"]}') for image in images]
    rewrite(coco_root, images=everywhere)
    assert COCOMultiLabelDataset(**coco_options).img_paths[0].endswith('train/000000000010.jpg')
    rewrite(coco_root, images=[everywhere[0] | dict(file_name='/other/000000000009.jpg'), *everywhere[1:]])
    with pytest.raises(DataError, match="found the image '/other/000000000009.jpg', which lies outside"):
        COCOMultiLabelDataset(**coco_options)


def test_of_two_names_that_end_in_one_image_none_is_taken_for_the_other(coco_root, coco_options):
    images = json.loads((coco_root / 'instances.json').read_text())['images']
    names = {9: 'old/000000000100.jpg'}
    rewrite(coco_root, images=[image | dict(file_name=names.get(image['id'], image['file_name'])) for image in images])
    data = COCOMultiLabelDataset(**coco_options)
    assert data.img_paths[data.index_of('9')].endswith('train/old/000000000100.jpg')


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
        (b'{"images": [', r'found no valid JSON \(Expecting value in line 1\)'),
        (b'{"images":\n\n{,', 'found no valid JSON .* in line 3'),
        (
            b'{"images": [{"id": 1, "file_name": "", "segmentation": [[1,\n2]]}],\n\n{,',
            'found no valid JSON .* in line 4',
        ),
        (b'', 'found no valid JSON'),
        (b'<html>', 'found no valid JSON'),
        (b'\xff\xfe\x00', r'cannot be read as UTF-8 text \(invalid start byte at byte 0\), .*; save it in UTF-8'),
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


@pytest.mark.parametrize('name', ['../../secret.jpg', '/elsewhere/9.jpg', 's3://elsewhere/9.jpg'])
def test_a_file_name_that_leaves_the_data_root_is_refused(coco_root, coco_options, name):
    images = json.loads((coco_root / 'instances.json').read_text())['images']
    rewrite(coco_root, images=[image | dict(file_name=name) if image['id'] == 9 else image for image in images])
    with pytest.raises(DataError, match=f"instances.json: found the image '{name}', which lies outside of data_root"):
        COCOMultiLabelDataset(**coco_options)


# ---------------------------------------------------------------- polygons, and the layout on disk

POLYGON_FORMS = {
    'one': '[[1.5, 2, -3e-05, 4E+2]]',
    'none': '[]',
    'several over lines': '[\n  [1,\n 2],\r\n\t[3, 4]\n]',
    'run lengths': '{"counts": [1, 2, 3], "size": [4, 5]}',
    'packed run lengths': '{"counts": "a]b[[1]]c", "size": [4, 5]}',
}


@pytest.mark.parametrize('spaces', ['', ' ', '\n'])
@pytest.mark.parametrize('form', POLYGON_FORMS)
@pytest.mark.parametrize('is_last', [True, False])
def test_the_labels_do_not_depend_on_how_polygons_are_written(coco_root, coco_options, form, spaces, is_last):
    path = coco_root / 'instances.json'
    expected = COCOMultiLabelDataset(**coco_options).labels
    content = json.loads(path.read_text())
    for item in content['annotations']:
        item.pop('segmentation')
        item.update(dict(polygon=0, bbox=[1, 2, 3, 4]) if not is_last else dict(bbox=[1, 2, 3, 4], polygon=0))
    text = json.dumps(content, separators=(',' + spaces, ':' + spaces))
    marker = f'"polygon":{spaces}0'
    assert text.count(marker) == len(content['annotations'])
    path.write_text(text.replace(marker, f'"segmentation":{spaces}{POLYGON_FORMS[form]}'))
    json.loads(path.read_text())
    np.testing.assert_array_equal(COCOMultiLabelDataset(**coco_options).labels, expected)


def test_text_that_looks_like_a_polygon_stays_text(coco_root, coco_options):
    strange = 'a "segmentation": [[1, 2]], b.jpg'
    images = json.loads((coco_root / 'instances.json').read_text())['images']
    rewrite(coco_root, images=[image | dict(file_name=strange) if image['id'] == 9 else image for image in images])
    (coco_root / 'train' / strange).touch()
    assert COCOMultiLabelDataset(**coco_options).img_paths[-1].endswith(strange)


@pytest.mark.parametrize('piece', [1, 10, 50, 100, 333])
def test_reading_in_pieces_drops_every_polygon_and_nothing_else(coco_root, piece):
    content = (coco_root / 'instances.json').read_bytes()
    expected = json.loads(content)
    for item in expected['annotations']:
        item['segmentation'] = 0
    pieces = [content[start : start + piece] for start in range(0, len(content), piece)]
    assert json.loads(b''.join(without_polygons(pieces))) == expected


def test_the_config_reads_coco_2014_as_it_lies_on_disk(tmp_path):
    (tmp_path / 'annotations').mkdir()
    categories = [dict(id=10 * number, name=name) for number, name in enumerate(COCO_CLASSES, 1)]
    for part, image_id in (('train2014', 57870), ('val2014', 391895)):
        name = f'COCO_{part}_{image_id:012d}.jpg'
        (tmp_path / part).mkdir()
        (tmp_path / part / name).touch()
        annotations = [dict(image_id=image_id, category_id=20, segmentation=[[1, 2]])]
        content = dict(images=[dict(id=image_id, file_name=name)], annotations=annotations, categories=categories)
        (tmp_path / 'annotations' / f'instances_{part}.json').write_text(json.dumps(content))
    config = Config.fromfile(CONFIGS / '_base_' / 'datasets' / 'coco.py')
    for loader, part, image_id in (
        ('train_dataloader', 'train2014', '57870'),
        ('val_dataloader', 'val2014', '391895'),
        ('test_dataloader', 'val2014', '391895'),
    ):
        data = DATASETS.build(config[loader].dataset | dict(data_root=str(tmp_path), split=None))
        assert data.image_ids == [image_id]
        assert data.img_paths == [f'{tmp_path}/{part}/COCO_{part}_{int(image_id):012d}.jpg']
        assert [data.class_names[c] for c in data.get_cat_ids(0)] == ['bicycle']
