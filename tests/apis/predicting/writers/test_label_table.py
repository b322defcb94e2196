"""predictions.csv reads back as the table of a folder of photos, in Python's csv, and as lightly-train's CSV."""

import csv
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cssa_mm.apis.predicting.writers.label_table import write_classes, write_predictions
from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.label_forms import form_of
from cssa_mm.errors import ConfigError
from cssa_mm.names import one_form, plain_name

PLAIN = ['dog', 'traffic light', 'café', '火车', 'salt & pepper', 'hot/cold']
SETS = [['dog'], ['dog', 'traffic light'], [], ['café', '火车', 'salt & pepper'], ['hot/cold'], ['dog', 'hot/cold']]


def read_back(folder: Path, rows, class_names) -> dict[str, set[str]]:
    """The labels of each image, as training on the folder would read them."""
    for row in rows:
        path = folder / row.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    data = TableDataset(data_root=str(folder), img_dir='.', ann_file='labels.csv', lazy_init=True)
    found = data.read_annotations()
    assert [plain_name(name) for name in data.class_names] == [plain_name(name) for name in class_names]
    assert not data.understanding.questions
    assert len(found.image_ids) == len(rows)
    return {
        Path(path).relative_to(folder).as_posix(): {class_names[c] for c in np.flatnonzero(labels == 1)}
        for path, labels in zip(found.img_paths, found.labels, strict=True)
        if (labels != -1).all()
    }


def lightly(text: str, class_names) -> dict[str, set[str]]:
    """lightly-train's reading, after its documentation: names by `label_delimiter`; `ignore_classes` leaves `none`."""
    known = {*class_names, 'none'}
    found = {}
    for row in csv.DictReader(io.StringIO(text)):
        parts = {part.strip() for part in row['labels'].split(';') if part.strip()}
        assert parts <= known  # an unknown name is a KeyError there
        if parts - {'none'}:
            found[row['image'].strip()] = parts - {'none'}
    return found


def test_names_with_semicolons_between_them(tmp_path, make_facts, make_rows):
    rows = make_rows(PLAIN, SETS, names=['1.jpg', 'sub/2.jpg', '3, "b".jpg', '4.png', 'é.jpg', '6.jpg'])
    write_predictions(iter(rows), make_facts(PLAIN), tmp_path / 'labels.csv')
    write_classes(make_facts(PLAIN), tmp_path / 'classes.txt')
    text = (tmp_path / 'labels.csv').read_text('utf-8')
    assert text.splitlines()[:4] == [
        'image,labels', '1.jpg,dog', 'sub/2.jpg,dog;traffic light', '"3, ""b"".jpg",none',
    ]  # fmt: skip
    true = {row.name: set(row.labels) for row in rows}
    assert read_back(tmp_path, rows, PLAIN) == true
    assert lightly(text, PLAIN) == {name: labels for name, labels in true.items() if labels}


@pytest.mark.parametrize(
    ('names', 'form'),
    [
        (['cat', 'dog'], 'names'),
        (['chair, red', 'table'], 'names'),
        (['a;b', 'c'], 'lists'),
        (['(dog)', 'cat'], 'lists'),
        (['none', 'cat'], 'columns'),
        (['yes', 'no'], 'columns'),
        (['1', '2'], 'columns'),
        (['nan', 'x;y'], 'columns'),
    ],
)
def test_the_form_goes_by_the_names(names, form):
    assert form_of(names) == form


@pytest.mark.parametrize('names', [['none', 'cat', 'image'], ['a;b', 'c, d', 'e "f"'], ['chair, red', 'red', 'chair']])
def test_each_form_reads_back(tmp_path, make_facts, make_rows, names):
    sets = [names[:1], names[1:2], names[2:], names, [], names[:2], [names[0], names[2]]]
    rows = make_rows(names, sets)
    write_predictions(iter(rows), make_facts(names), tmp_path / 'labels.csv')
    write_classes(make_facts(names), tmp_path / 'classes.txt')
    assert read_back(tmp_path, rows, names) == {row.name: set(row.labels) for row in rows}


LETTERS = st.sampled_from('abxyz ;,|/"\'&+:.-_éß火\t[]{}()0123')
NAMES = st.text(LETTERS, min_size=1, max_size=8).filter(lambda name: one_form(name) and name == one_form(name))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_any_names_read_back(data, make_facts, make_rows):
    names = data.draw(st.lists(NAMES, min_size=2, max_size=5, unique_by=plain_name))
    if not all(plain_name(name) for name in names):
        return
    sets = data.draw(st.lists(st.sets(st.sampled_from(names)), min_size=1, max_size=8))
    if not any(sets):
        return  # no label at all: training refuses such a table
    rows = make_rows(names, sets)
    with tempfile.TemporaryDirectory() as folder:
        write_predictions(iter(rows), make_facts(names), Path(folder, 'labels.csv'))
        write_classes(make_facts(names), Path(folder, 'classes.txt'))
        assert read_back(Path(folder), rows, names) == {row.name: set(row.labels) for row in rows}


def test_lists_are_json_in_each_cell(tmp_path, make_facts, make_rows):
    names = ['a;b', 'c "d"']
    write_predictions(make_rows(names, [names, []]), make_facts(names), tmp_path / 'p.csv')
    with (tmp_path / 'p.csv').open(newline='', encoding='utf-8') as file:
        assert [json.loads(row['labels']) for row in csv.DictReader(file)] == [names, []]


def test_what_fails_in_the_middle_leaves_the_old_file(tmp_path, make_facts, make_rows):
    path = tmp_path / 'predictions.csv'
    path.write_text('old')

    def rows():
        yield from make_rows(PLAIN, SETS)
        raise RuntimeError('killed')

    with pytest.raises(RuntimeError, match='killed'):
        write_predictions(rows(), make_facts(PLAIN), path)
    assert path.read_text() == 'old'
    assert [each.name for each in tmp_path.iterdir()] == ['predictions.csv']


def test_a_folder_that_is_a_file_is_one_line(tmp_path, make_facts, make_rows):
    (tmp_path / 'out').touch()
    with pytest.raises(ConfigError, match=r'^out: found no way to write .*predictions.csv') as error:
        write_predictions(make_rows(PLAIN, SETS), make_facts(PLAIN), tmp_path / 'out' / 'predictions.csv')
    assert '\n' not in str(error.value)
