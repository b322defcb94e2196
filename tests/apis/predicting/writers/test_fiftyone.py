"""fiftyone/labels.json, read by a small reader that resolves keys as FiftyOne's importer does."""

import json
import os

from cssa_mm.apis.predicting.writers.fiftyone import write_fiftyone

NAMES = ['dog', 'traffic light', '火车']


def imported(labels_path, data_path):
    """path -> label -> confidence. Keys are paths without extension below `data_path`, or absolute paths."""
    images = {}
    for root, _, files in os.walk(data_path):
        for file in sorted(files):
            path = os.path.join(root, file)
            images[os.path.splitext(os.path.relpath(path, data_path))[0]] = path
    content = json.loads(labels_path.read_text('utf-8'))
    assert content.keys() == {'classes', 'labels'}
    return content['classes'], {
        (key if os.path.isabs(key) else images[key]): {each['label']: each['confidence'] for each in found}
        for key, found in content['labels'].items()
    }


def test_each_image_gets_its_own_labels(tmp_path, make_facts, make_rows):
    names = ['a.jpg', 'a.png', 'b.jpg', 'sub/a.jpg', 'sub/b.c.jpg', 'sub/d.jpg']
    photos = tmp_path / 'photos'
    for name in (*names, 'sub/a.json', 'sub/b.c.txt', 'b.jpg.xmp'):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).touch()
    rows = make_rows(NAMES, [['dog'], ['traffic light'], [], NAMES, ['火车'], ['dog']], photos, names)
    path = tmp_path / 'out' / 'fiftyone' / 'labels.json'
    write_fiftyone(iter(rows), make_facts(NAMES), path)
    classes, found = imported(path, photos)
    assert classes == NAMES
    assert found.keys() == {row.path for row in rows}
    for row in rows:
        assert found[row.path].keys() == set(row.labels), row.name
        for label, confidence in found[row.path].items():
            assert abs(confidence - row.scores[NAMES.index(label)]) < 1e-4
    keys = json.loads(path.read_text('utf-8'))['labels'].keys()
    assert {key for key in keys if not os.path.isabs(key)} == {'b', 'sub/d'}


def test_names_that_were_never_trained_are_marked(tmp_path, make_facts, make_rows):
    write_fiftyone(make_rows(NAMES, [NAMES]), make_facts(NAMES, zero_shot_names=['火车']), tmp_path / 'labels.json')
    (found,) = json.loads((tmp_path / 'labels.json').read_text('utf-8'))['labels'].values()
    assert [each.get('attributes') for each in found] == [None, None, dict(zero_shot=True)]


def test_no_images(tmp_path, make_facts):
    write_fiftyone(iter(()), make_facts(NAMES), tmp_path / 'labels.json')
    assert json.loads((tmp_path / 'labels.json').read_text('utf-8')) == dict(classes=NAMES, labels={})


def test_images_elsewhere_keep_their_address_and_the_bytes_of_their_path(tmp_path, make_facts, make_rows):
    places = ['http://x.org/a/1.jpg', '/caf\udce9/1.jpg']
    rows = [
        row._replace(name=name, path=place)
        for row, place, name in zip(make_rows(NAMES, [['dog']] * 2), places, [places[0], 'other.jpg'], strict=True)
    ]
    write_fiftyone(rows, make_facts(NAMES), tmp_path / 'labels.json')
    assert list(json.loads((tmp_path / 'labels.json').read_text('utf-8'))['labels']) == places
