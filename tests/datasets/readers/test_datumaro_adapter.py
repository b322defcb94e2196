"""Datumaro in a Python of its own: what it answers, and what goes wrong, in one line each.

The answers of a real one are tested where CSSA_DATUMARO_PYTHON names a Python that has it.
"""

import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets.readers import datumaro_adapter
from cssa_mm.datasets.readers.datumaro_adapter import MISREAD, OWN, TRIED, environment, is_own, read_by_datumaro
from cssa_mm.errors import ConfigError, DataError, ToolboxError

REAL = os.environ.get('CSSA_DATUMARO_PYTHON')
ANSWER = dict(
    version='1.13.9',
    format='vott_csv',
    classes=['cat', 'dog'],
    left={'caption': 2},
    items=[dict(path='/x/1.jpg', subset='train', positives=['cat'], negatives=['dog'])],
)


@pytest.fixture
def python(tmp_path):
    """python(answer) -> an interpreter that writes this answer, and its own arguments beside it."""

    def make(answer=None, code=0, stderr='') -> str:
        path = tmp_path / 'python'
        (tmp_path / 'answer.json').write_text(json.dumps(answer))
        write = '' if answer is None else f'cp "{tmp_path}/answer.json" "$5"\n'
        path.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >"{tmp_path}/words"\n{write}echo "{stderr}" >&2\nexit {code}\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return make


def test_what_datumaro_found_is_handed_on(python, tmp_path):
    found = read_by_datumaro('set', python(ANSWER), 'vott_csv')
    assert (found.format, found.version, found.class_names, found.left) == (
        'vott_csv', '1.13.9', ['cat', 'dog'], {'caption': 2},
    )  # fmt: skip
    assert found.items == [('/x/1.jpg', 'train', ('cat',), ('dog',))]
    isolated, script, source, name, _ = (tmp_path / 'words').read_text().splitlines()
    assert isolated == '-I'  # nothing of this package may shadow datumaro
    assert script.endswith('datumaro_script.py')
    assert (source, name) == (os.path.abspath('set'), 'vott_csv')


@pytest.mark.parametrize(
    ('answer', 'error', 'text'),
    [
        (dict(missing='ModuleNotFoundError'), ConfigError, 'found no datumaro in'),
        (dict(error='unknown', formats=['a']), DataError, 'found no form of labels that Datumaro detects'),
        (dict(error='several', formats=['a', 'b']), DataError, 'found what can be read as a or b'),
        (dict(error='no such format', formats=['vott_json']), ConfigError, "Did you mean 'vott_json'?"),
        (dict(error='KeyError: 3'), DataError, 'Datumaro cannot read it (KeyError: 3)'),
        *[(ANSWER | dict(format=name), DataError, f'would be misread: {reason}') for name, reason in MISREAD.items()],
    ],
)
def test_each_failure_is_one_line(python, answer, error, text):
    with pytest.raises(error) as caught:
        read_by_datumaro('set', python(answer), 'vott_jso')
    assert text in str(caught.value)
    assert '\n' not in str(caught.value)


def test_an_interpreter_that_is_none_or_breaks_down_is_named(python):
    with pytest.raises(ConfigError, match=r"found '/no/such/python', which cannot be run"):
        read_by_datumaro('set', '/no/such/python')
    with pytest.raises(DataError, match=r'ended with status 3 and no answer \(out of memory\)'):
        read_by_datumaro('set', python(None, 3, 'out of memory'))


def test_a_python_without_datumaro_says_so(tmp_path):
    """This one has none: its OpenCV would be overwritten."""
    with pytest.raises(ConfigError, match=r"found no datumaro in '.*' \(ModuleNotFoundError"):
        read_by_datumaro(str(tmp_path), sys.executable)


def test_no_format_is_both_ours_and_the_library_s():
    assert not {name for name in (*TRIED, *MISREAD) if is_own(name)}
    assert all(is_own(name) for name in (*OWN, 'coco_instances', 'voc_detection'))


def test_the_environment_is_made_once_and_said(tmp_path, monkeypatch):
    monkeypatch.delenv('CSSA_DATUMARO_PYTHON', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    calls, said = [], []

    def run(words, **_):
        calls.append(words)
        os.makedirs(tmp_path / 'cssa_mm' / 'datumaro-1.13', exist_ok=True)
        return subprocess.CompletedProcess(words, 0, '', '')

    monkeypatch.setattr(datumaro_adapter.subprocess, 'run', run)
    python = environment(said.append)
    assert python == environment(said.append) == str(tmp_path / 'cssa_mm' / 'datumaro-1.13' / 'bin' / 'python')
    assert len(said) == 1
    assert [words[2] for words in calls] == ['venv', 'pip']
    assert 'datumaro==1.13.*' in calls[1]
    monkeypatch.setenv('CSSA_DATUMARO_PYTHON', '/own/python')
    assert environment(said.append) == '/own/python'


def test_an_installation_that_fails_is_one_line_and_tried_again(tmp_path, monkeypatch):
    monkeypatch.delenv('CSSA_DATUMARO_PYTHON', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    failed = subprocess.CompletedProcess([], 1, '', 'a\nno network')
    monkeypatch.setattr(datumaro_adapter.subprocess, 'run', lambda *_, **__: failed)
    for _ in range(2):
        with pytest.raises(ToolboxError, match=r'^datumaro: -m venv --clear failed \(no network\)') as caught:
            environment()
        assert '\n' not in str(caught.value)


# -- a real one --------------------------------------------------------------------------------------------------


@pytest.fixture
def open_images(tmp_path):
    """Open Images as its site describes it: verified labels, a confidence of 0 where the class does not show."""
    for name in ('train/aaa', 'train/bbb', 'validation/ccc'):
        path = tmp_path / 'images' / f'{name}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    folder = tmp_path / 'annotations'
    folder.mkdir()
    (folder / 'oidv6-class-descriptions.csv').write_text('LabelName,DisplayName\n/m/0,Cat\n/m/1,Traffic light\n')
    header = 'ImageID,Source,LabelName,Confidence\n'
    rows = {'train': 'aaa,v,/m/0,1\naaa,v,/m/1,0\nbbb,v,/m/1,1\n', 'validation': 'ccc,v,/m/0,1\nccc,v,/m/1,0\n'}
    for part, text in rows.items():
        (folder / f'{part}-annotations-human-imagelabels.csv').write_text(header + text)
    return tmp_path


@pytest.mark.skipif(not REAL, reason='CSSA_DATUMARO_PYTHON names no Python with datumaro')
def test_open_images_of_a_real_datumaro_keep_their_verified_negatives(open_images):
    found = read_by_datumaro(str(open_images), REAL)
    assert found.format == 'open_images'
    items = {os.path.basename(item.path): item[1:] for item in found.items}
    assert items == {
        'aaa.jpg': ('train', ('/m/0',), ('/m/1',)),
        'bbb.jpg': ('train', ('/m/1',), ()),
        'ccc.jpg': ('validation', ('/m/0',), ('/m/1',)),
    }
