"""XMP sidecars: keywords for photo managers, and no photo or foreign file that changes."""

import os
import xml.etree.ElementTree as ET

import pytest

from cssa_mm.apis.predicting.writers.sidecars import sidecar, write_sidecars
from cssa_mm.errors import ConfigError

NAMES = ['dog', 'salt & <pepper>', '火车']
RDF = '{http://www.w3.org/1999/02/22-rdf-syntax-ns#}'
DC = '{http://purl.org/dc/elements/1.1/}'


def keywords(text, name=f'{DC}subject'):
    found = ET.fromstring(text).find(f'{RDF}RDF/{RDF}Description/{name}')
    return None if found is None else [item.text for item in found.iter(f'{RDF}li')]


@pytest.fixture
def photos(tmp_path):
    for name in ('000.jpg', '001.jpg', '002.jpg'):
        (tmp_path / name).write_bytes(b'photo')
    return tmp_path


def test_keywords_stand_beside_the_photos(photos, make_facts, make_rows):
    rows = make_rows(NAMES, [['dog'], [], NAMES], photos)
    counts = write_sidecars(iter(rows), make_facts(NAMES, zero_shot_names=['火车']))
    assert counts.text() == '2 sidecars written beside the photos'
    assert sorted(os.listdir(photos)) == ['000.jpg', '000.jpg.xmp', '001.jpg', '002.jpg', '002.jpg.xmp']
    assert keywords((photos / '000.jpg.xmp').read_bytes()) == ['dog']
    text = (photos / '002.jpg.xmp').read_bytes()
    assert keywords(text) == keywords(text, '{http://www.digikam.org/ns/1.0/}TagsList') == NAMES
    assert keywords(text, '{https://cssa-mm.example/ns/1.0/}zeroShot') == ['火车']
    assert all((photos / f'00{index}.jpg').read_bytes() == b'photo' for index in range(3))


def test_a_second_run_replaces_ours_alone(photos, make_facts, make_rows):
    facts = make_facts(NAMES)
    write_sidecars(make_rows(NAMES, [NAMES, ['dog'], ['dog']], photos), facts)
    edited = (photos / '001.jpg.xmp').read_text('utf-8').replace('dog', 'dog of mine')
    (photos / '001.jpg.xmp').write_text(edited, 'utf-8')
    counts = write_sidecars(make_rows(NAMES, [['火车'], NAMES, []], photos), facts)
    assert (counts.written, counts.removed, counts.foreign) == (1, 1, 1)
    assert '1 photos have a sidecar that another program wrote or changed, such as' in counts.text()
    assert str(photos / '001.jpg.xmp') in counts.text()
    assert keywords((photos / '000.jpg.xmp').read_bytes()) == ['火车']
    assert (photos / '001.jpg.xmp').read_text('utf-8') == edited
    assert not (photos / '002.jpg.xmp').exists()


@pytest.mark.parametrize('content', [b'', b'<x/>', b'<?xml version="1.0"?>\n', b'\xff\xfe\n\n\n'])
def test_a_foreign_sidecar_stays(photos, make_facts, make_rows, content):
    (photos / '000.jpg.xmp').write_bytes(content)
    assert write_sidecars(make_rows(NAMES, [['dog']], photos), make_facts(NAMES)).foreign == 1
    assert (photos / '000.jpg.xmp').read_bytes() == content


def test_a_folder_that_takes_no_file_is_one_line(tmp_path, make_facts, make_rows):
    (tmp_path / 'gone').touch()
    with pytest.raises(ConfigError, match=r'^sidecars: found no way to write .*leave out --sidecars') as error:
        write_sidecars(make_rows(NAMES, [['dog']], tmp_path / 'gone'), make_facts(NAMES))
    assert '\n' not in str(error.value)


def test_the_text_is_that_of_its_labels():
    assert sidecar(['dog']) == sidecar(['dog']) != sidecar(['cat'])


def test_images_at_addresses_get_none(tmp_path, monkeypatch, make_facts, make_rows):
    monkeypatch.chdir(tmp_path)
    rows = [row._replace(path='http://x.org/1.jpg') for row in make_rows(NAMES, [['dog']])]
    counts = write_sidecars(rows, make_facts(NAMES))
    assert (counts.written, counts.distant) == (0, 1)
    assert '1 images are at addresses' in counts.text()
    assert os.listdir(tmp_path) == []
