"""How a command ends: one line and a status, whatever went wrong with its files or a Ctrl-C."""

import argparse
import signal

import pytest

from cssa_mm.cli.arguments import run


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    monkeypatch.delenv('CSSA_TRACEBACK', raising=False)
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def swallowed(options):
    """As mmengine's `pretty_text` does while it formats a config."""
    try:
        raise KeyboardInterrupt
    except:  # noqa: E722
        raise SyntaxError('Failed to format the config file, please check the syntax of: \n' + 'a = 1\n' * 260)  # noqa: B904


def interrupted(options):
    raise KeyboardInterrupt


@pytest.mark.parametrize('command', [swallowed, interrupted])
def test_a_ctrl_c_is_one_line_and_a_second_one_none(command, capsys):
    assert run(argparse.ArgumentParser(), command, []) == 130
    assert capsys.readouterr().err == 'error: interrupted\n'
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_errors_stay(capsys):
    def broken(options):
        raise SyntaxError('mine')

    with pytest.raises(SyntaxError, match='mine'):
        run(argparse.ArgumentParser(), broken, [])


def test_a_path_that_cannot_be_opened_is_one_line(tmp_path, capsys):
    (tmp_path / 'file').write_text('x')
    assert run(argparse.ArgumentParser(), lambda options: open(tmp_path / 'file' / 'a', 'w'), []) == 2
    assert capsys.readouterr().err.startswith(f'error: {tmp_path}/file/a: Not a directory; expected a path')


def test_a_name_that_is_no_utf_8_is_one_line(capsys):
    assert run(argparse.ArgumentParser(), lambda options: 'caf\udce9.png'.encode(), []) == 2
    assert capsys.readouterr().err == "error: found the name 'caf\\udce9.png', which is no UTF-8; rename it\n"
