import json

import numpy as np
import pytest

from cssa_mm.datasets.readers.objects.instances import read_instances, without_polygons
from cssa_mm.datasets.readers.objects.json_stream import elements
from cssa_mm.errors import DataError

CONTENT = {
    'info': {'nested': [1, {'images': [3]}], 'text': 'a "quote", \\ and \u2028 ü 😀'},
    'images': [{'id': n, 'name': f'{n}], [{{"'} for n in range(7)],
    'empty': [],
    'numbers': [1, -2.5e-3, 12345678901234567890, True, None, 'text', [], [[]]],
    'last': 12,
}


def pieces(text, size):
    return [text[start : start + size] for start in range(0, len(text), size)]


@pytest.mark.parametrize('size', [1, 2, 3, 7, 100, 10**6])
@pytest.mark.parametrize('indent', [None, 0, 3])
@pytest.mark.parametrize('ascii_only', [True, False])
def test_elements_are_those_of_the_json_however_it_is_cut(size, indent, ascii_only):
    text = json.dumps(CONTENT, indent=indent, ensure_ascii=ascii_only)
    keys = []
    found = list(elements(pieces(text, size), ('images', 'numbers', 'empty'), 'x.json', 'a file', keys.append))
    expected = [(key, item) for key in ('images', 'empty', 'numbers') for item in CONTENT[key]]
    assert found == expected
    assert keys == list(CONTENT)


@pytest.mark.parametrize('size', [1, 5, 10**6])
@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('', 'Expecting value in line 1'),
        ('{', 'Expecting property name enclosed in double quotes in line 1'),
        ('{"images": [1, 2', "Expecting ',' delimiter in line 1"),
        ('{"images": [1,\n\n]}', 'Expecting value in line 3'),
        ('{"images": [1 2]}', "Expecting ',' delimiter in line 1"),
        ('{"images": [1]} x', 'Extra data in line 1'),
        ('{"images"\n [1]}', "Expecting ':' delimiter in line 2"),
        ('{"images": [1],\n}', None),
        ('{"images": [{"a": 1},\n{"b": }]}', 'Expecting value in line 2'),
        ('{images: [1]}', 'Expecting property name enclosed in double quotes in line 1'),
    ],
)
def test_no_valid_json_is_refused_with_its_line(text, reason, size):
    with pytest.raises(DataError, match='x.json: found no valid JSON') as caught:
        list(elements(pieces(text, size), ('images',), 'x.json', 'a file'))
    if reason is not None:
        assert f'({reason})' in str(caught.value)


def test_something_else_than_an_object_is_refused():
    with pytest.raises(DataError, match='found a list at the top'):
        list(elements(['[1]'], ('images',), 'x.json', 'a file'))
    with pytest.raises(DataError, match="found a str as 'images'"):
        list(elements(['{"images": "no"}'], ('images',), 'x.json', 'a file'))
    with pytest.raises(DataError, match='nested too deeply'):
        list(elements(['{"images": ' + '[' * 10**5], ('images',), 'x.json', 'a file'))


@pytest.mark.parametrize('size', [1, 11, 64, 1000, 10**6])
def test_a_large_random_annotation_is_read_as_json_reads_it(size):
    rng = np.random.default_rng(size)
    forms = [[[1.5, -2e3]], [], dict(counts='a]b[[1]]"c', size=[1, 2]), dict(counts=[1, 2], size=[3, 4])]
    content = dict(
        images=[dict(id=int(n), file_name=f'{n}.jpg') for n in rng.permutation(30)],
        annotations=[
            dict(segmentation=forms[n % 4], image_id=int(rng.integers(30)), id=n, category_id=int(rng.integers(1, 6)))
            for n in range(80)
        ],
        categories=[dict(id=n, name=f'class {n}') for n in range(1, 6)],
    )
    instances = read_instances(pieces(json.dumps(content).encode(), size), 'x.json')
    found = {(instances.image_ids[row], instances.category_ids[column]) for row, column in np.argwhere(instances.shows)}
    assert found == {(str(item['image_id']), str(item['category_id'])) for item in content['annotations']}
    assert instances.image_ids == [str(item['id']) for item in content['images']]


def test_what_is_kept_of_a_piece_does_not_grow_with_the_file():
    polygon = json.dumps([[float(n) for n in range(1000)]])
    text = '[' + ','.join(f'{{"segmentation": {polygon}}}' for _ in range(50)) + ']'
    parts = list(without_polygons(pieces(text.encode(), 10_000)))
    assert json.loads(b''.join(parts)) == [dict(segmentation=0)] * 50
    assert max(map(len, parts)) < 100
