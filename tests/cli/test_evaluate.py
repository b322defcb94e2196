"""`cssa evaluate`, as a command."""

import json

import pytest

pytestmark = pytest.mark.cli


@pytest.fixture
def tables(tmp_path):
    (tmp_path / 'predictions.csv').write_text('image,labels\n1.jpg,dog;cat\n2.jpg,none\n3.jpg,dog\n')
    (tmp_path / 'truth.csv').write_text('image,labels\n1.jpg,dog;cat\n2.jpg,cat\n3.jpg,dog\n4.jpg,dog\n')
    return tmp_path / 'predictions.csv', tmp_path / 'truth.csv'


def test_the_figures_are_printed_and_written(quick_run, tables, tmp_path):
    done = quick_run('tools/evaluate.py', *tables, '--out', tmp_path / 'new' / 'metrics.json')
    assert done.returncode == 0, done.stderr[-3000:]
    # dog: 2 of 2 right and 2 of 2 found; cat: 1 of 1 right and 1 of 2 found. CF1: precision 1, recall .75; OF1: 6 / 7.
    assert 'CF1 85.71  OF1 85.71' in done.stdout
    assert '1 images of the truth are not predicted: 4.jpg' in done.stdout
    content = json.loads((tmp_path / 'new' / 'metrics.json').read_text())
    assert content['metrics']['OF1'] == pytest.approx(600 / 7)
    assert [(each['name'], each['F1']) for each in content['classes']] == [
        ('cat', pytest.approx(200 / 3)),
        ('dog', 100),
    ]


def test_a_mistake_is_one_line(quick_run, tables, tmp_path):
    done = quick_run('tools/evaluate.py', tables[0], tmp_path / 'nowhere.csv')
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'error: {tmp_path}/nowhere.csv: found nothing there')
