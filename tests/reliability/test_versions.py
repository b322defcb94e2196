"""The program that tests several Pythons, on made-up interpreters in the place of real ones."""

import sys
from subprocess import CompletedProcess

import pytest

from tests.reliability import versions


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """machine(fails=...) -> (run, calls): Pythons 3.10 (in pyenv's folder) and 3.12 (on the path) are there."""
    monkeypatch.setenv('PYENV_ROOT', str(tmp_path / 'pyenv'))
    monkeypatch.setenv('CSSA_VENV', 'another')
    monkeypatch.setenv('PYTHONPATH', 'another')
    (tmp_path / 'pyenv' / 'versions' / '3.10.13').mkdir(parents=True)
    there = {str(tmp_path / 'pyenv' / 'versions' / '3.10.13' / 'bin' / 'python3'): '3.10', 'python3.12': '3.12'}

    def make(fails=()):
        calls = []

        def run(words, **options):
            words = [str(word) for word in words]
            if '-c' in words:
                return CompletedProcess(words, 0, f'{there.get(words[0], "2.7")}\n', '')
            calls.append((words, options))
            failed = any(word in words for word in fails)
            return CompletedProcess(words, int(failed), '...\n== 7 passed ==', 'note\nERROR: no numpy\nWARNING: other')

        return run, calls

    return make


def test_each_python_that_is_there_is_tested_with_each_kind(machine, tmp_path, capsys):
    run, calls = machine()
    words = ['--pythons', '3.10', '3.11', '3.12', '--kinds', 'onedl', 'lowest', '--folder', str(tmp_path), '-k', 'semi']
    assert versions.main(words, run) == 0
    assert capsys.readouterr().out.splitlines() == [
        '3.10  onedl  passed  7 passed',
        '3.10  lowest  passed  7 passed',
        '3.11  onedl  not found  ',
        '3.11  lowest  not found  ',
        '3.12  onedl  passed  7 passed',
        '3.12  lowest  passed  7 passed',
        'not run: Python 3.11; this machine has no such interpreter',
    ]
    (venv, _), (install, _), (tests, options) = calls[:3]
    python = str(tmp_path / '3.10-onedl' / 'bin' / 'python')
    assert venv == [str(tmp_path / 'pyenv' / 'versions' / '3.10.13' / 'bin' / 'python3'), '-m', 'venv', '--clear',
                    str(tmp_path / '3.10-onedl')]  # fmt: skip
    assert install[:4] == [python, '-m', 'pip', 'install']
    assert {'-e', '.[onedl]', 'requirements/test.txt'} < set(install)
    assert any(word.startswith('torch==') for word in install)
    assert any(word.startswith('torchvision==') for word in install)
    assert tests == [python, '-m', 'pytest', '-q', '-k', 'semi']
    assert not {'CSSA_VENV', 'PYTHONPATH'} & set(options['env'])
    assert options['env']['PATH'].startswith(str(tmp_path / '3.10-onedl' / 'bin'))
    (_, (lowest, _), (package, _), _) = calls[3:7]
    assert lowest[-4:] == ['-r', 'requirements/lowest.txt', '-r', 'requirements/test.txt']
    assert package[-3:] == ['--no-deps', '-e', '.']


def test_what_fails_says_why_and_is_told_by_the_exit_status(machine, capsys):
    run, _ = machine(fails=['.[openmmlab]'])
    assert versions.main(['--pythons', '3.12', '--kinds', 'openmmlab', 'lowest'], run) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first == '3.12  openmmlab  not installed  no numpy'
    assert second == '3.12  lowest  passed  7 passed'
    run, calls = machine(fails=['pytest'])
    assert versions.main(['--pythons', '3.12', '--kinds', 'lowest'], run) == 1
    assert '3.12  lowest  failed  7 passed' in capsys.readouterr().out
    assert calls[-1][0][-2:] == ['-m', 'smoke']


def test_where_no_python_is_found_nothing_was_run(machine, capsys):
    run, calls = machine()
    assert versions.main(['--pythons', '3.9', '4.0', '--kinds', 'lowest'], run) == 2
    assert capsys.readouterr().out.splitlines()[-1].startswith('not run: Python 3.9, 4.0;')
    assert calls == []


def test_a_real_interpreter_is_found():
    assert versions.find('.'.join(map(str, sys.version_info[:2]))) == [sys.executable]
    assert versions.find('2.1') is None
