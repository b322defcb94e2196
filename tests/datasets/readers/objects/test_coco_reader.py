"""COCO's JSON as tools write it: classes, images without annotation, other forms, and odd ids."""

import json

import pytest

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError

CATEGORIES = [
    dict(id=0, name='things', supercategory='none'),
    dict(id=10, name='Car Ferry', supercategory='things'),
    dict(id=2, name='Übersee', supercategory='things'),
    dict(id=3, name='汽车', supercategory='things'),
]
# Image id -> categories of its instances.
SHOWN = {1: [10, 10, 2], 2: [3], 3: [], 4: [2]}


def content(**changes):
    images = [dict(id=number, file_name=f'{number} a.jpg', width=8, height=8) for number in SHOWN]
    pairs = [(image, category) for image, categories in SHOWN.items() for category in categories]
    annotations = [
        dict(id=number, image_id=image, category_id=category, bbox=[1, 1, 2, 2], iscrowd=int(category == 3))
        for number, (image, category) in enumerate(pairs)
    ]
    return dict(info={}, images=images, annotations=annotations, categories=CATEGORIES) | changes


@pytest.fixture
def root(tmp_path):
    for name in [*(f'images/{number} a.jpg' for number in SHOWN), 'images/other.png', 'annotations/.keep']:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


@pytest.fixture
def read(root):
    """read(content, name=..., **options) -> the data set."""

    def make(data, name='annotations/instances.json', encoding='utf-8', **options):
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        (root / name).write_bytes(text.encode(encoding))
        return TableDataset(**dict(data_root=str(root), ann_file=name) | options)

    return make


def rows(data):
    return dict(zip(data.image_ids, data.labels.tolist(), strict=True))


def refused(read, data, *parts, **options):
    with pytest.raises(DataError) as caught:
        read(data, **options)
    message = str(caught.value)
    assert '\n' not in message
    for part in parts:
        assert part in message


def test_the_classes_are_the_categories_with_an_instance_by_id(read):
    data = read(content())
    assert data.class_names == ['Übersee', '汽车', 'Car Ferry']
    assert list(data.understanding.left) == ['things']
    assert data.understanding.format == 'coco'
    assert not data.understanding.questions


@pytest.mark.parametrize(
    ('options', 'label', 'unlisted'),
    [
        (dict(), [-1, -1, -1], True),
        (dict(unannotated='unlabelled'), [-1, -1, -1], True),
        (dict(unannotated='negative'), [0, 0, 0], True),
        (dict(unannotated='drop'), None, True),
        (dict(test_mode=True), [0, 0, 0], False),
        (dict(test_mode=True, unannotated='drop'), None, False),
    ],
)
def test_images_without_annotation_are_what_the_key_says(read, options, label, unlisted):
    data = read(content(), **options)
    found = rows(data)
    assert found.pop('3 a.jpg', None) == label
    assert found.pop('other.png', None) == ([-1, -1, -1] if unlisted else None)
    assert found == {'1 a.jpg': [1, 0, 1], '2 a.jpg': [0, 1, 0], '4 a.jpg': [1, 0, 0]}
    assert data.understanding.facts['unannotated'].startswith('1 of 4 images have no annotation: ')
    left_out = [name for names in data.understanding.left_out.values() for name in names]
    assert left_out == (['3 a.jpg'] if label is None else [])


@pytest.mark.parametrize('change', [str, float, lambda number: number])
def test_ids_of_images_and_categories_may_be_numbers_or_texts(read, change):
    expected = rows(read(content()))
    data = content()
    for item in data['annotations']:
        item.update(image_id=str(item['image_id']), category_id=change(item['category_id']))
    for item in data['images']:
        item['id'] = change(item['id'])
    assert rows(read(data)) == expected


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_other_encodings_are_read(read, encoding):
    assert read(content(), encoding=encoding).class_names == ['Übersee', '汽车', 'Car Ferry']


def test_windows_text_without_a_mark_is_read_and_said(read):
    data = content()
    data['categories'] = [dict(item, name=item['name'].replace('汽车', 'Auto')) for item in CATEGORIES]
    data = read(data, encoding='cp1252')
    assert data.class_names == ['Übersee', 'Auto', 'Car Ferry']
    assert data.understanding.facts['encoding'] == 'cp1252'


@pytest.mark.parametrize(
    'order',
    [('annotations', 'categories', 'images'), ('categories', 'images', 'annotations'), ('images', 'annotations')],
)
def test_the_keys_may_stand_in_any_order(read, order):
    data = content()
    ordered = {key: data[key] for key in order} | data
    assert rows(read(ordered)) == rows(read(data))


def test_a_class_that_the_file_does_not_declare_is_questioned(read, root):
    (root / 'classes.txt').write_text('Car Ferry\nÜbersee\n汽车\nthings\nboat\n')
    data = read(content())
    assert data.class_names == ['Car Ferry', 'Übersee', '汽车', 'things', 'boat']
    assert [question.kind for question in data.understanding.questions] == ['undeclared_classes']
    assert '(boat)' in data.understanding.questions[0].text
    assert rows(data)['1 a.jpg'] == [1, 1, 0, 0, 0]


def test_a_category_that_is_shown_but_no_class_is_refused(read, root):
    (root / 'classes.txt').write_text('Car Ferry\nÜbersee\n')
    refused(read, content(), "found class '汽车', expected one of the 2 class names")


def test_two_categories_of_one_name_are_one_class(read):
    data = read(content(categories=[*CATEGORIES[:3], dict(id=3, name='car_ferry')]))
    assert data.class_names == ['Übersee', 'car_ferry']
    assert rows(data)['2 a.jpg'] == [0, 1]
    assert rows(data)['1 a.jpg'] == [1, 1]


def test_panoptic_segments_count_by_their_category(read):
    annotations = [
        dict(image_id=1, file_name='1.png', segments_info=[dict(id=7, category_id=10), dict(id=8, category_id=2)]),
        dict(image_id=2, file_name='2.png', segments_info=[]),
    ]
    data = read(content(annotations=annotations))
    assert data.class_names == ['Übersee', 'Car Ferry']
    assert rows(data)['1 a.jpg'] == [1, 1]
    assert rows(data)['2 a.jpg'] == [0, 0]  # annotated, without a segment
    assert 'panoptic' in data.understanding.facts['annotations']


def test_scores_are_questioned_and_lists_of_predictions_refused(read):
    data = content()
    data['annotations'][0]['score'] = 0.7
    assert [question.kind for question in read(data).understanding.questions] == ['scores']
    for item in data['annotations']:
        item['score'] = 1.0
    assert not read(data).understanding.questions
    refused(read, data['annotations'], 'predictions with image_id, category_id and score')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(annotations=[dict(image_id=1, id=2, caption='A cat\non a mat')], categories=None), 'found captions'),
        (dict(categories=None), "no usable entry for 'categories'"),
        (dict(images=None), "no usable entry for 'images'"),
        (dict(annotations=None), "no usable entry for 'annotations'"),
        (dict(images=[dict(id=1, coco_url='http://x/1.jpg')]), "no usable entry for 'file_name' in 'images'"),
        (dict(images=dict(a=1)), "found a dict as 'images', expected a list"),
        (dict(categories=[dict(id=2, name='a'), dict(id=2, name='b')]), "the category id 2 for 'a' and for 'b'"),
        (dict(annotations=[dict(image_id=9, category_id=2)]), "unknown image '9'"),
        (dict(annotations=[dict(image_id=1, category_id=9)]), "unknown category '9'"),
        (dict(annotations=[dict(image_id=[1], category_id=2)]), "no usable entry for 'image_id' ([1])"),
        (dict(annotations=[dict(image_id=1, category_id=[2])]), "no usable entry for 'category_id' ([2])"),
        (dict(annotations=['text']), "no usable entry for an entry ('text')"),
        (dict(categories=[dict(id=2, name=None)]), 'the name null of the category 2, expected a text'),
        (dict(categories=[dict(id=2, name=['a'])]), 'the name ["a"] of the category 2, expected a text'),
        (dict(categories=[dict(id=[2], name='a')]), "no usable entry for 'id' ([2]) in 'categories'"),
        (dict(annotations=[]), 'no label in any'),
    ],
)
def test_other_forms_and_broken_files_are_refused_in_one_line(read, changes, message):
    data = {key: value for key, value in content(**changes).items() if value is not None}
    refused(read, data, 'instances.json: ', message)


@pytest.mark.parametrize('cut', [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off_is_refused_in_one_line(read, cut):
    text = json.dumps(content(), indent=1)
    refused(read, text[: int(cut * len(text))], 'found no valid JSON', 'in line ')


def test_federated_labels_are_no_negatives(read):
    data = content()
    data['images'][0]['neg_category_ids'] = [3]
    refused(read, data, 'neg_category_ids', 'LVIS')


def test_what_labels_the_images_of_another_folder_is_found(read):
    data = content()
    for item in data['images']:
        item['file_name'] = f'C:\\work\\images\\{item["file_name"]}'
    assert rows(read(data)) == rows(read(content()))
