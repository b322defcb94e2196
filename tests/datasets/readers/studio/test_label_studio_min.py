"""Label Studio's JSON-MIN and CSV exports: a record an annotation, a column a question."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError

IMAGES = [f'{number}.jpg' for number in range(1, 8)]


def record(number: int, annotation: int | None = 1, **values) -> dict:
    """One annotation as JSON-MIN has it; those of unlabelled tasks have no id."""
    own = dict(annotator=1, annotation_id=annotation, created_at='2026-01-01', updated_at='2026-01-01', lead_time=3.5)
    return {'image': f'/data/upload/7/0a1b2c3d-{number}.jpg', 'id': number, **values, **own}


def region(name: str, key: str = 'rectanglelabels') -> dict:
    return {'x': 1, 'y': 2, 'width': 3, 'height': 4, 'rotation': 0, key: [name], 'original_width': 9}


RECORDS = [
    record(1, tags='dog'),
    record(2, tags={'choices': ['cat', 'red bus']}),
    record(3),
    record(4, None),
]
EXPECTED = {'1.jpg': [0, 1, 0], '2.jpg': [1, 0, 1], '3.jpg': [0, 0, 0], '4.jpg': [-1, -1, -1]}


def write_csv(path, records, delimiter=','):
    """As Label Studio writes it: texts as they are, all else as JSON, every cell but numbers in quotes."""
    columns = sorted({key for each in records for key in each})
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, columns, quoting=csv.QUOTE_NONNUMERIC, delimiter=delimiter)
        writer.writeheader()
        for each in records:
            writer.writerow({k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in each.items()})


@pytest.fixture(params=['export.json', 'export.csv', 'export.tsv'])
def read(tmp_path, request):
    """read(records, **options) -> the data set of an export in each of the forms, beside seven images."""
    (tmp_path / 'images').mkdir()
    for name in IMAGES:
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / 'images' / name)

    def make(records, **options) -> TableDataset:
        path = tmp_path / request.param
        if path.suffix == '.json':
            path.write_text(json.dumps(records))
        else:
            write_csv(path, records, '\t' if path.suffix == '.tsv' else ',')
        options = dict(test_mode=True) | options
        return TableDataset(data_root=str(tmp_path), img_dir='images', ann_file=path.name, **options)

    return make


def labels_of(data: TableDataset) -> dict[str, list[int]]:
    return dict(zip(data.image_ids, data.labels.tolist(), strict=True))


def test_one_choice_is_a_text_and_several_are_an_object(read):
    data = read(RECORDS)
    assert data.understanding.format == 'label_studio_min'
    assert data.class_names == ['cat', 'dog', 'red bus']
    assert labels_of(data) == EXPECTED
    assert data.understanding.taken == ['tags']


def test_regions_and_taxonomies_are_lists(read):
    records = [
        record(1, boxes=[region('dog'), region('cat'), {'x': 1, 'y': 2, 'width': 3, 'height': 4}]),
        record(2, boxes=[region('cat', 'polygonlabels')]),
        record(3, quality=[{'rating': 4}]),
    ]
    data = read(records)
    assert labels_of(data) == {'1.jpg': [1, 1], '2.jpg': [1, 0], '3.jpg': [0, 0]}
    assert data.understanding.left == {'quality': 'holds no labels'}
    records = [
        record(1, kind=[{'taxonomy': [['Animal', 'Dog'], ['Thing']]}]),
        record(2, kind=[{'taxonomy': [['Thing']]}]),
    ]
    assert labels_of(read(records)) == {'1.jpg': [1, 1], '2.jpg': [0, 1]}


def test_several_annotators_are_several_records(read):
    second = dict(annotator=2, annotation_id=2)
    records = [
        record(1, tags={'choices': ['cat', 'dog']}),
        record(1, tags='cat') | second,
        record(2, tags='bus'),
        record(2) | second,
    ]
    assert labels_of(read(records)) == {'1.jpg': [0, 1, -1], '2.jpg': [-1, 0, 0]}


def test_several_questions_and_texts_are_asked_for(read):
    captions = ['a dog', 'two cats', 'a bus', 'a street']
    records = [
        record(number, tags={'choices': ['cat', 'dog']}, light=light, caption=caption)
        for number, light, caption in zip(range(1, 5), ['day', 'night', 'day', 'day'], captions, strict=True)
    ]
    with pytest.raises(DataError, match=r'labels of 2 questions: .*tags \(2 labels\).*set label_column=tags'):
        read(records)
    data = read(records, label_column='tags')
    assert (data.class_names, data.understanding.taken) == (['cat', 'dog'], ['tags'])
    assert set(data.understanding.left) == {'light', 'caption'}
    data = read(records, label_column='light')
    assert labels_of(data) == {'1.jpg': [1, 0], '2.jpg': [0, 1], '3.jpg': [1, 0], '4.jpg': [1, 0]}
    for each in records:
        del each['light']
    data = read(records)
    assert (data.understanding.taken, data.understanding.left) == (
        ['tags'], {'caption': 'a text of its own in each record'}
    )  # fmt: skip


def test_paths_and_numbers_of_the_data_are_no_labels(read):
    records = [record(number, tags=tag, path=f'x/{number}.jpg', year=2020) for number, tag in ((1, 'cat'), (2, 'dog'))]
    data = read(records)
    assert labels_of(data) == {'1.jpg': [1, 0], '2.jpg': [0, 1]}
    assert set(data.understanding.left) == {'path', 'year'}


def test_scores_in_the_data_are_no_labels(read):
    """A model's score for each class, one of which has the name of a kind of answer."""
    scores = {'labels': 0.25, 'choices': 1, 'dog': 0.5}
    assert labels_of(read([each | dict(scores=scores) for each in RECORDS])) == EXPECTED


def test_images_in_the_data_are_no_labels_and_no_answers(read):
    records = [record(1, tags='cat'), record(2, tags='dog'), record(3)]
    for number, each in enumerate(records, 1):
        # More than the 128 KiB that Python's csv module takes by default.
        each |= dict(
            image=f'{number}.jpg', picture=f'data:image/jpeg;base64,{number}{"A" * 140_000}', path=f'x/{number}.png'
        )
    data = read(records)
    assert labels_of(data) == {'1.jpg': [1, 0], '2.jpg': [0, 1], '3.jpg': [0, 0]}
    assert data.understanding.left == dict.fromkeys(('picture', 'path'), 'holds images')
    assert 'unanswered' not in {question.kind for question in data.understanding.questions}


@pytest.mark.parametrize(
    ('records', 'message'),
    [
        ([record(1, tags={'choices': [['dog']]})], "found a result of type 'choices' without its names"),
        ([record(1, tags=[region('dog'), {'strange': 1}])], "found .*strange.* in 'tags', expected choices"),
        ([record(1, score={'rating': 3})], 'no label in any finished annotation'),
        ([record(9, tags='dog')], 'but no such image'),
        (
            [record(1, tags='dog'), record(2, None) | dict(image=None)],
            r"record 1 \(task 2\): found the fields .* expected 'image'",
        ),
    ],
)
def test_records_of_another_form_are_refused_in_one_line(read, records, message):
    with pytest.raises(DataError, match=message) as caught:
        read(records)
    assert '\n' not in str(caught.value)
