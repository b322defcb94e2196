"""The doctor finds what it is shown."""

import socket
from types import SimpleNamespace

import pytest
import torch

from cssa_mm.apis import doctor as module
from cssa_mm.apis import self_test
from cssa_mm.apis.doctor import doctor
from cssa_mm.apis.known_pairs import PAIRS
from cssa_mm.cli.main import main
from cssa_mm.errors import CSSAError

PARTS = ('_versions', '_disk', '_memory', '_threads', '_processes', '_device')


@pytest.fixture
def only(monkeypatch):
    """only('_disk') leaves the other parts of the doctor out."""

    def leave(*kept):
        for name in {*PARTS, '_self_test'} - set(kept):
            monkeypatch.setattr(module, name, lambda *given: iter(()))

    return leave


def lines(capsys) -> dict[str, str]:
    return {line[9:19].strip(): line for line in capsys.readouterr().out.splitlines()}


@pytest.mark.smoke
def test_a_line_each_and_status_0_where_all_is_well(capsys, tmp_path):
    assert main(['doctor', '--device', 'cpu', '--work-dir', str(tmp_path)]) == 0
    found = lines(capsys)
    assert list(found) == ['versions', 'device', 'disk', 'memory', 'threads', 'processes', 'self-test']
    assert f'torch {torch.__version__}' in found['versions']
    assert found['self-test'].startswith('OK       self-test one step and one scoring on cpu in ')


def test_a_problem_is_status_1_and_ends_with_its_remedy(monkeypatch, capsys, only, tmp_path):
    only('_versions', '_disk')
    monkeypatch.setattr(module, 'bad_pairs', lambda versions: PAIRS[:1])
    assert main(['doctor', '--work-dir', str(tmp_path)]) == 1
    text = capsys.readouterr().out
    assert 'PROBLEM  versions  mmpretrain and onedl-mmpretrain, whose files overwrite each other; a fresh env' in text


def test_a_warning_is_no_problem(monkeypatch, only, tmp_path):
    only('_disk')
    monkeypatch.setattr(module.shutil, 'disk_usage', lambda place: SimpleNamespace(free=1.5e9))
    found = doctor(folder=tmp_path)
    assert [check.level for check in found.checks] == ['WARNING', 'WARNING']
    assert found.is_well
    monkeypatch.setattr(module.shutil, 'disk_usage', lambda place: SimpleNamespace(free=1e7))
    found = doctor(folder=tmp_path)
    assert [check.level for check in found.checks][:2] == ['PROBLEM', 'PROBLEM']
    assert not found.is_well


def test_more_threads_than_cores_and_little_memory_are_warned_of(monkeypatch, only):
    only('_threads', '_memory')
    monkeypatch.setattr(module.torch, 'get_num_threads', lambda: 10**6)
    monkeypatch.setattr(module, 'LITTLE_MEMORY', 1e18)
    found = doctor()
    assert [check.level for check in found.checks] == ['WARNING', 'WARNING']
    assert 'export OMP_NUM_THREADS=' in found.checks[1].remedy


def test_a_port_that_is_in_use_is_warned_of(monkeypatch, only):
    only('_processes')
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        monkeypatch.setattr(module, 'PORT', listener.getsockname()[1])
        found = doctor()
    assert any('is in use' in check.found and 'PORT=29511' in check.remedy for check in found.checks)


def test_what_breaks_becomes_a_problem_and_the_rest_is_still_looked_at(monkeypatch, only):
    only('_self_test', '_threads')

    def fail():
        raise RuntimeError('no\n such operator')

    monkeypatch.setattr(module, '_threads', fail)
    found = doctor(device='cpu')
    assert [check.text()[:44] for check in found.checks[:1]] == ['PROBLEM  threads   RuntimeError: no such ope']
    assert found.checks[1].level == 'OK'


@pytest.mark.parametrize('fault', ['nan', 'frozen'])
def test_the_self_test_notices_a_step_that_is_not_sound(monkeypatch, fault):
    if fault == 'nan':
        monkeypatch.setattr(self_test.torch.optim, 'SGD', lambda p, lr: torch.optim.Adam(p, lr=float('nan')))
    else:
        monkeypatch.setattr(self_test.torch.optim.SGD, 'step', lambda self, closure=None: None)
    with pytest.raises((CSSAError, ValueError), match='a step of training|Invalid learning rate'):
        self_test.take_step('cpu')


def test_the_self_test_notices_scores_that_are_not_finite():
    model = self_test.take_step('cpu')
    with torch.no_grad():
        model.head.bias.fill_(float('nan'))
        for parameter in model.teacher.buffers():
            if parameter.is_floating_point():
                parameter.fill_(float('nan'))
    with pytest.raises(CSSAError, match='not finite'):
        self_test.score(model)


def test_a_package_that_cannot_be_imported_is_a_problem(monkeypatch, capsys):
    def refuse(name):
        raise ImportError('libGL.so.1: cannot open')

    monkeypatch.setitem(main.__globals__, 'import_module', refuse)
    assert main(['doctor']) == 1
    assert capsys.readouterr().out == 'PROBLEM  import    ImportError: libGL.so.1: cannot open\n'
    with pytest.raises(ImportError):
        main(['train'])
