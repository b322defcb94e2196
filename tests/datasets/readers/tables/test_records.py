"""JSON lines and lists of entries."""

import json

import pytest

from tests.datasets.readers.conftest import kinds

ENTRIES = [
    dict(image='a.jpg', labels=['cat', 'hot dog']),
    dict(image='b.jpg', labels='cat', width=640),
    dict(image='c.jpg', labels=[]),
    dict(image='d.jpg', labels=None),
    dict(image='e.jpg'),
]
READ = {'a.jpg': '+cat +hot dog', 'b.jpg': '+cat -hot dog', 'c.jpg': '-cat -hot dog', 'd.jpg': '?', 'e.jpg': '?'}


def lines(entries) -> str:
    return '\n'.join(json.dumps(entry) for entry in entries)


@pytest.mark.parametrize('name', ['l.jsonl', 'l.ndjson', 'l.json'])
@pytest.mark.parametrize('around', ['{}', '\ufeff{}\n\n', '\n{}'])
def test_json_lines_are_read(rows_of, name, around):
    assert rows_of(around.format(lines(ENTRIES)), name) == READ


def test_a_list_of_entries_is_read(rows_of):
    assert rows_of(ENTRIES, 'l.json') == READ
    assert rows_of(dict(data=ENTRIES, version=1), 'l.json') == READ


def test_an_object_of_images_is_read(rows_of):
    assert rows_of({entry['image']: entry.get('labels') for entry in ENTRIES}, 'l.json') == READ
    rows = rows_of({'a.jpg': dict(cat=1, dog=0), 'b.jpg': dict(cat=0, dog=1)}, 'l.json')
    assert rows == {'a.jpg': '+cat -dog', 'b.jpg': '-cat +dog'}


def test_columns_as_pandas_writes_them_are_read(rows_of):
    columns = dict(image={'0': 'a.jpg', '1': 'b.jpg'}, labels={'0': ['cat'], '1': ['dog', 'cat']})
    assert rows_of(columns, 'l.json') == {'a.jpg': '+cat -dog', 'b.jpg': '+cat +dog'}
    columns = dict(image=['a.jpg', 'b.jpg'], cat=[True, False], dog=[0, 1])
    assert rows_of(columns, 'l.json') == {'a.jpg': '+cat -dog', 'b.jpg': '-cat +dog'}


@pytest.mark.parametrize('name', ['image', 'file_name', 'image_url', 'imageGcsUri', 'path', 'img'])
@pytest.mark.parametrize('field', ['label', 'labels', 'tags', 'classificationAnnotations', 'categories'])
def test_fields_are_found_by_their_names(rows_of, name, field):
    entries = [
        {name: 'a.jpg', field: [{'displayName': 'cat'}, {'displayName': 'dog'}]},
        {name: 'b.jpg', field: ['cat']},
    ]
    assert rows_of(entries, 'l.json', format='records') == {'a.jpg': '+cat +dog', 'b.jpg': '+cat -dog'}


def test_a_text_in_a_list_is_one_name_whatever_it_holds(rows_of):
    rows = rows_of([dict(image='a.jpg', labels=['x, y', 'z;w']), dict(image='b.jpg', labels=['z;w'])], 'l.json')
    assert rows == {'a.jpg': '+x, y +z;w', 'b.jpg': '-x, y +z;w'}


def test_numbers_follow_the_list_of_classes(rows_of):
    entries = [dict(image='a.jpg', label=[0, 2]), dict(image='b.jpg', label=1)]
    assert rows_of(entries, 'l.json', class_names=('x', 'y', 'z')) == {'a.jpg': '+x -y +z', 'b.jpg': '-x +y -z'}


@pytest.mark.parametrize(
    ('content', 'part'),
    [
        ('{"image": "a.jpg"\n{"image": "b.jpg"}', 'line 1: found no valid JSON'),
        ('{"image": "a.jpg", "labels": "x"}\n7', 'line 2: found 7, expected an object such as'),
        ('', 'found 0 entries'),
        ('{"image": "a.jpg", "labels": [["cat"]]}', 'line 1: found'),
        ('{"image": "a.jpg"}\n{"image": "b.jpg"}', "found no column but 'image'"),
    ],
)
def test_broken_lines_are_refused_with_their_number(refusal_of, content, part):
    assert part in refusal_of(content, 'l.jsonl', format='records')


@pytest.mark.parametrize('content', [{}, {'images': []}, {'a': 1, 'b': [1]}, [], 'null', '3', '"text"', '[1, 2]'])
def test_other_json_is_refused_in_one_line(refusal_of, content):
    assert 'expected' in refusal_of(content, 'l.json', format='records')


def test_places_are_lines_or_entries(table_of):
    assert table_of('\n' + lines(ENTRIES), 'l.jsonl').where(1).endswith('l.jsonl, line 3')
    table = table_of(ENTRIES, 'l.json')
    assert table.where(1).endswith('l.json, entry 1')
    assert kinds(table) == []
