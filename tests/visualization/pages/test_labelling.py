"""The data of the labelling page: what it holds, what it must not hold, and how large it gets."""

import base64
import json
import re

import numpy as np
import pytest

from cssa_mm.visualization.pages import labelling
from cssa_mm.visualization.pages.labelling import (
    LabelPhoto,
    bytes_of_photo,
    labelling_page,
    photos_that_fit,
    project_key,
)

NASTY = '<b>&"\'</script><script>alert(1)</script>'


def photo(name='a.jpg', **options):
    return LabelPhoto(**dict(name=name, jpeg=b'pixels', predicted=[1], scores=[0.25, float('nan')]) | options)


def data_of(page: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S).group(1))


def test_the_page_holds_photos_predictions_and_classes_and_asks_nobody():
    page = labelling_page([photo(why='in doubt: cat')], ['dog', 'cat'], model='m.pth', notes=['a note'])
    data = data_of(page)
    assert data['classes'] == ['dog', 'cat']
    (shown,) = data['photos']
    assert base64.b64decode(shown.pop('jpeg')) == b'pixels'
    assert shown == dict(name='a.jpg', predicted=[1], scores=[0.25, None], why='in doubt: cat')
    assert 'a note' in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "default-src 'none'" in page


def test_names_of_classes_and_photos_are_escaped():
    page = labelling_page([photo(NASTY, why=NASTY)], [NASTY, '</textarea>'], notes=[NASTY])
    assert 'alert(1)</script>' not in page
    assert data_of(page)['classes'] == [NASTY, '</textarea>']
    assert data_of(page)['photos'][0]['name'] == NASTY


def test_what_the_browser_keeps_is_keyed_by_the_names_of_classes_and_photos():
    key = project_key(['dog', 'cat'], ['a.jpg'])
    assert key == project_key(['dog', 'cat'], ['a.jpg'])
    others = [
        project_key(['dog', 'cats'], ['a.jpg']),
        project_key(['dog', 'cat'], ['b.jpg']),
        project_key(['dog'], ['cat', 'a.jpg']),
    ]
    assert len({key, *others}) == 4


def test_two_hundred_photos_are_a_page_of_less_than_20_megabytes():
    jpegs = [bytes(bytes_of_photo(200))] * 200
    assert photos_that_fit(jpegs) == 200
    page = labelling_page([photo(f'{n}.jpg', jpeg=jpeg) for n, jpeg in enumerate(jpegs)], ['dog', 'cat'])
    assert 18e6 < len(page) < 20e6


def test_photos_beyond_the_size_are_left_out_and_the_page_says_so(monkeypatch):
    monkeypatch.setattr(labelling, 'MOST_BYTES', 1000)
    assert photos_that_fit([bytes(300)] * 5) == 2
    assert '3 of 5 photos are left out' in labelling_page([photo(), photo('b.jpg')], ['dog'], total=5)
    assert 'left out' not in labelling_page([photo(), photo('b.jpg')], ['dog'], total=2)


@pytest.mark.parametrize('number', [1, 10, 1000])
def test_the_bytes_of_a_photo_go_by_their_number(number):
    assert bytes_of_photo(number) * number * 4 / 3 <= max(labelling.MOST_BYTES, 0) + number
    assert np.sign(bytes_of_photo(number)) == 1
