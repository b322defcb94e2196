"""`cssa import` in a terminal: what it prints, and how it ends."""

import json

import pytest

from cssa_mm.cli import import_labels
from cssa_mm.cli.main import main

pytestmark = pytest.mark.cli


@pytest.fixture
def source(tmp_path):
    (tmp_path / 'images').mkdir()
    for name in 'abc':
        (tmp_path / 'images' / f'{name}.jpg').write_text(name)
    (tmp_path / 'labels.csv').write_text('image,labels\na.jpg,cat;dog\nb.jpg,none\n')
    return tmp_path / 'labels.csv'


def test_a_table_is_imported_and_what_was_read_and_written_is_said(source, tmp_path, capsys):
    assert main(['import', str(source), '--out', str(tmp_path / 'out'), '--copy']) == 0
    text = capsys.readouterr().out
    assert 'read as csv' in text
    assert '3 images, 2 of them labelled, 1 of those with none of the 2 classes' in text
    assert 'class names with ; between them, images as copies' in text
    assert (tmp_path / 'out' / 'labels.csv').read_text() == 'image,labels\na.jpg,cat;dog\nb.jpg,none\nc.jpg,\n'


def test_a_mistake_is_one_line(source, tmp_path, capsys):
    assert main(['import', str(source), '--out', str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: out: found '")
    assert error.count('\n') == 1


def test_a_question_is_answered_by_yes_or_its_kind(source, tmp_path, capsys):
    source.write_text(json.dumps([{'image': f'{name}.jpg', 'labels': ['[cat]', 'dog'][: len(name)]} for name in 'ab']))
    source = source.rename(source.with_suffix('.json'))
    words = ['import', str(source), '--out', str(tmp_path / 'out')]
    assert main(words) == 2
    error = capsys.readouterr().err
    kinds = [line.rsplit('[', 1)[1].rstrip(']') for line in error.splitlines() if line.startswith('question: ')]
    assert main([*words, '--cfg-options', f'accept=[{",".join(kinds)}]']) == 0
    assert main([*words, '--force', '--yes']) == 0


@pytest.mark.parametrize(('words', 'expected'), [
    ([], dict(datumaro=None, is_copied=False, replaces=False, accept=None, options={}, labels=None, images=None)),
    (['--copy', '--force', '--yes'], dict(is_copied=True, replaces=True, accept='all')),
    (['--format', 'coco', '--link'], dict(is_copied=False, replaces=False, format='coco')),
    (['--labels', 'l.csv', '--images', 'i'], dict(labels='l.csv', images='i')),
    (['--cfg-options', 'none_word=no', 'accept=[codes]'], dict(options=dict(none_word='no'), accept=['codes'])),
    (['--datumaro', '/own/python'], dict(datumaro='/own/python')),
    (['--datumaro'], dict(datumaro='made')),
])  # fmt: skip
def test_the_function_is_told_what_the_command_was_told(monkeypatch, words, expected):
    calls = []

    class Result:
        def text(self):
            return ''

    monkeypatch.setattr(import_labels, 'import_labels', lambda **options: calls.append(options) or Result())
    monkeypatch.setattr(import_labels, 'environment', lambda say: 'made')
    assert main(['import', 'source', '--out', 'out', *words]) == 0
    assert {key: calls[0][key] for key in expected} == expected
    assert (calls[0]['source'], calls[0]['out']) == ('source', 'out')
