"""Tasks for Label Studio, and their way back: as its exports, they are read as labels of the same photos."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from cssa_mm.apis.predicting.writers.label_studio import (
    certainty,
    model_version,
    write_label_studio,
    write_label_studio_config,
)
from cssa_mm.apis.predicting.writers.streams import LabelColumns
from cssa_mm.datasets import TableDataset
from cssa_mm.errors import ConfigError

NAMES = ['dog', 'price "labels"', 'a < b & c', '火车', 'labels']
SETS = [['dog'], [], NAMES, ['火车'], ['price "labels"', 'dog']]
FILES = ['1.jpg', 'sub/2 ü.jpg', 'sub/3#&%20+.jpg', '4.jpg', 'sub/deep/1.jpg']


@pytest.fixture
def tasks_of(tmp_path, make_facts, make_rows):
    def make(names=NAMES, labels=SETS, files=FILES, facts=None, **options):
        photos = tmp_path / 'photos'
        for name in files:
            (photos / name).parent.mkdir(parents=True, exist_ok=True)
            (photos / name).touch()
        rows = make_rows(names, labels, photos, files)
        write_label_studio(iter(rows), facts or make_facts(names), tmp_path / 'tasks.json', **options)
        return rows, json.loads((tmp_path / 'tasks.json').read_text('utf-8'))

    return make


def test_tasks_have_predictions(tasks_of, make_facts):
    rows, tasks = tasks_of()
    assert len(tasks) == len(rows)
    for row, task in zip(rows, tasks, strict=True):
        (prediction,) = task['predictions']
        assert prediction['model_version'] == model_version(make_facts(NAMES))
        # The least certain decision: a label of low score, or another class of high score.
        right = [score if name in row.labels else 1 - score for name, score in zip(NAMES, row.scores, strict=True)]
        assert prediction['score'] == pytest.approx(min(right), abs=1e-4) == certainty(row, LabelColumns(NAMES))
        assert task['data']['uncertainty'] == pytest.approx(1 - min(right), abs=1e-4)
        assert prediction['result'] == (
            [dict(from_name='labels', to_name='image', type='choices', value=dict(choices=list(row.labels)))]
            if row.labels
            else []
        )
        assert task['data']['path'] == row.name
        assert task['data']['scores'] == pytest.approx(dict(zip(NAMES, row.scores, strict=True)), abs=1e-4)
        shown = list(task['data']['scores'].values())
        assert shown == sorted(shown, reverse=True)
        assert 'zero_shot' not in task['data']


def test_addresses_lead_to_the_photos(tasks_of, tmp_path):
    for options, root in ({}, Path('/')), (dict(document_root=tmp_path), tmp_path):
        rows, tasks = tasks_of(**options)
        for row, task in zip(rows, tasks, strict=True):
            address = urlsplit(task['data']['image'])
            assert address.path == '/data/local-files/'
            assert not address.fragment
            assert root / parse_qs(address.query)['d'][0] == Path(row.path)
    _, tasks = tasks_of(prefix='https://host/', document_root=tmp_path / 'photos', files=['1 a.jpg'], labels=[['dog']])
    assert tasks[0]['data']['image'] == 'https://host/1%20a.jpg'


def test_images_of_a_storage_keep_their_address(tmp_path, make_facts, make_rows):
    address = 's3://bucket/1 a.jpg?x=1'
    rows = [row._replace(name=address, path=address) for row in make_rows(NAMES, [['dog']])]
    write_label_studio(rows, make_facts(NAMES), tmp_path / 'tasks.json')
    assert json.loads((tmp_path / 'tasks.json').read_text())[0]['data']['image'] == address


def test_a_folder_that_is_no_text_is_in_the_address_byte_by_byte(tmp_path, make_facts, make_rows):
    write_label_studio(make_rows(NAMES, [['dog']], '/caf\udce9'), make_facts(NAMES), tmp_path / 'tasks.json')
    (task,) = json.loads((tmp_path / 'tasks.json').read_text())
    assert task['data']['image'].endswith('?d=caf%E9/000.jpg')


def test_an_image_outside_of_the_root_is_one_line(tasks_of, tmp_path):
    with pytest.raises(ConfigError, match=r"^label_studio: found the image '.*' outside of the document root") as error:
        tasks_of(document_root=tmp_path / 'other')
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'tasks.json').exists()


def test_many_classes_are_cut_to_the_best_and_the_labels(tasks_of):
    names = [f'c{index:03}' for index in range(200)]
    rows, (task,) = tasks_of(names, [names[:30]], ['1.jpg'])
    scores = task['data']['scores']
    assert set(names[:30]) == set(scores)
    rows, (task,) = tasks_of(names, [names[:3]], ['1.jpg'])
    best = np.argsort(-rows[0].scores)[:20]
    assert set(task['data']['scores']) == {names[c] for c in best}


def test_zero_shot_labels_are_marked(tasks_of, make_facts, tmp_path):
    facts = make_facts(NAMES, zero_shot_names=['火车'])
    _, tasks = tasks_of(facts=facts)
    assert [task['data'].get('zero_shot') for task in tasks] == [None, None, ['火车'], ['火车'], None]
    write_label_studio_config(facts, tmp_path / 'config.xml')
    choices = ET.parse(tmp_path / 'config.xml').getroot().find('Choices')
    assert [choice.get('hint') for choice in choices] == [None, None, None, 'zero-shot', None]


def test_the_config_fits_the_tasks(tasks_of, make_facts, tmp_path):
    write_label_studio_config(make_facts(NAMES), tmp_path / 'config.xml')
    view = ET.parse(tmp_path / 'config.xml').getroot()
    (image,), (choices,), (table,) = (view.findall(name) for name in ('Image', 'Choices', 'Table'))
    assert [choice.get('value') for choice in choices] == NAMES
    assert choices.get('choice') == 'multiple'
    _, tasks = tasks_of()
    assert {image.get('value'), table.get('value')} <= {f'${name}' for name in tasks[0]['data']}
    result = tasks[0]['predictions'][0]['result'][0]
    assert (result['from_name'], result['to_name']) == (choices.get('name'), image.get('name'))
    assert choices.get('toName') == image.get('name')


@pytest.mark.parametrize('is_min', [False, True])
def test_exports_read_back(tasks_of, tmp_path, is_min):
    """What Label Studio 1.23 writes of annotated tasks; the real server: tools/acceptance.sh label-studio."""
    rows, tasks = tasks_of()
    export = []
    for number, task in enumerate(tasks):
        chosen = SETS[number]
        annotation = dict(id=number, completed_by=1, result=task['predictions'][0]['result'], was_cancelled=False)
        if not is_min:
            export.append(task | dict(id=number, annotations=[annotation]))
            continue
        answer = {} if not chosen else dict(labels=chosen[0] if len(chosen) == 1 else dict(choices=chosen))
        export.append(task['data'] | dict(id=number, annotator=1, annotation_id=number, lead_time=1.5) | answer)
    (tmp_path / 'export.json').write_text(json.dumps(export), 'utf-8')
    data = TableDataset(data_root=str(tmp_path), img_dir='photos', ann_file='export.json', class_names=NAMES)
    assert data.understanding.format == ('label_studio_min' if is_min else 'label_studio')
    found = {
        Path(path): {NAMES[c] for c in np.flatnonzero(labels == 1)}
        for path, labels in zip(data.img_paths, data.labels, strict=True)
    }
    assert found == {Path(row.path): set(row.labels) for row in rows}


def test_no_images_are_an_empty_list(tmp_path, make_facts):
    write_label_studio(iter(()), make_facts(NAMES), tmp_path / 'tasks.json')
    assert json.loads((tmp_path / 'tasks.json').read_text()) == []
