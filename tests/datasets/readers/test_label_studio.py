import json

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError

IMAGES = ['cat one.jpg', 'shop/2.jpg', '3.jpg', '4.jpg', '5.jpg', '6.jpg', '7.jpg']


def choices(*names: str) -> dict:
    return dict(type='choices', from_name='tags', to_name='image', value=dict(choices=list(names)))


def rectangle(name: str) -> dict:
    return dict(type='rectanglelabels', value=dict(x=1, y=2, width=3, height=4, rotation=0, rectanglelabels=[name]))


def task(number: int, image: str, *annotations: dict, **extra) -> dict:
    return dict(id=number, data=dict(image=image), annotations=list(annotations), **extra)


TASKS = [
    task(1, '/data/upload/7/0a1b2c3d-cat%20one.jpg', dict(result=[choices('cat')])),
    task(2, '/data/local-files/?d=disk/photos/images/shop/2.jpg', dict(result=[choices('dog', 'cat')])),
    task(3, 's3://bucket/all/images/3.jpg', dict(result=[rectangle('dog'), rectangle('dog'), rectangle('red bus')])),
    task(4, 'https://host.example/4.jpg?width=200', dict(result=[])),
    task(5, '/data/upload/7/5.jpg', predictions=[dict(result=[choices('dog')])]),
    task(
        6,
        '/data/upload/7/6.jpg',
        dict(result=[choices('dog')], was_cancelled=True, updated_at='2026-03-01'),
        dict(result=[choices('cat')], updated_at='2026-02-01'),
        dict(result=[choices('red bus')], updated_at='2026-01-01'),
    ),
    task(
        7,
        '/data/upload/7/7.jpg',
        dict(result=[choices('dog')], ground_truth=True, updated_at='2026-01-01'),
        dict(result=[choices('cat')], updated_at='2026-02-01'),
    ),
]


@pytest.fixture
def read(tmp_path):
    """read(tasks, **options) -> the data set of an export, beside seven images."""
    for name in IMAGES:
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)

    def make(tasks, **options) -> TableDataset:
        (tmp_path / 'export.json').write_text(json.dumps(tasks))
        options = dict(test_mode=True) | options
        return TableDataset(data_root=str(tmp_path), img_dir='images', ann_file='export.json', **options)

    return make


def positives(data: TableDataset) -> dict[str, set[str]]:
    return {name: {data.class_names[c] for c in data.get_cat_ids(i)} for i, name in enumerate(data.image_ids)}


def test_choices_and_rectangles_are_the_labels_of_their_images(read):
    data = read(TASKS)
    assert data.class_names == ['cat', 'dog', 'red bus']
    assert positives(data) == {
        'cat one.jpg': {'cat'},
        'shop/2.jpg': {'cat', 'dog'},
        '3.jpg': {'dog', 'red bus'},
        '4.jpg': set(),
        '5.jpg': set(),
        '6.jpg': {'cat'},
        '7.jpg': {'dog'},
    }


def test_a_task_without_annotation_is_unlabelled_and_an_empty_annotation_says_none(read):
    data = read(TASKS, test_mode=False)
    unlabelled = [name for name, known in zip(data.image_ids, data.is_labelled, strict=True) if not known]
    assert unlabelled == ['5.jpg']
    assert data.labels[data.image_ids.index('4.jpg')].tolist() == [0, 0, 0]


def test_a_choice_can_say_none(read):
    data = read([task(1, '3.jpg', dict(result=[choices('None')])), task(2, '4.jpg', dict(result=[choices('cat')]))])
    assert (data.class_names, data.labels.tolist()) == (['cat'], [[0], [1]])


def test_a_relation_between_regions_is_no_label(read):
    relation = dict(type='relation', from_id='a', to_id='b', direction='right')
    rating = dict(type='rating', value=dict(rating=3))
    data = read([task(1, '3.jpg', dict(result=[rectangle('dog'), relation, rating]))])
    assert positives(data) == {'3.jpg': {'dog'}}


def test_a_missing_image_labels_no_other_of_its_name(read):
    """`shopB/3.jpg` is not there; `3.jpg` is another photo."""
    tasks = [task(1, '/data/local-files/?d=disk/shop/2.jpg', dict(result=[choices('dog')]))]
    assert 'shop/2.jpg' in read(tasks).image_ids
    with pytest.raises(DataError) as caught:
        read([*tasks, task(2, 'shopB/3.jpg', dict(result=[choices('cat')]))])
    assert "task 2: found 'shopB/3.jpg', but no such image in" in str(caught.value)
    assert "It is not '3.jpg', which lies in no folder of that path." in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('tasks', 'message'),
    [
        ([dict(id=7, image='3.jpg', choice='cat')], r"task 7: found no 'data' with 'annotations'.*\(not JSON-MIN\)"),
        (
            [dict(task(7, 'x', dict(result=[choices('cat')])), data=dict(img='3.jpg'))],
            "task 7: found the fields 'img', expected 'image'.*Did you mean 'img'.*image_column",
        ),
        ([task(7, '9.jpg', dict(result=[choices('cat')]))], "task 7: found '9.jpg', but no such image"),
        (
            [task(7, '3.jpg', dict(result=[choices('cat')])), task(8, '/x/images/3.jpg', dict(result=[]))],
            "export.json: found image id '3.jpg' more than once",
        ),
        ([task(7, '3.jpg', dict(result=[dict(type='choices', value={})]))], "task 7: found a result of type 'choices'"),
        ([], 'found 0 rows and no label in any'),
    ],
)
def test_an_export_of_another_form_is_refused_in_one_line(read, tasks, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tasks)
    assert '\n' not in str(caught.value)


def test_an_object_given_as_an_export_is_refused(read):
    with pytest.raises(DataError, match='found a dict at the top, expected the list of tasks'):
        read(dict(data_list=[]), format='label_studio')
