"""`cssa export`: what it hands on, and how it ends. tests/apis/exporting exports by this command."""

from types import SimpleNamespace

import pytest

from cssa_mm.cli.main import main

pytestmark = pytest.mark.cli


def test_it_hands_on_what_it_is_told(monkeypatch, capsys):
    calls = []
    result = SimpleNamespace(text=lambda: 'm.onnx: written')
    monkeypatch.setattr('cssa_mm.cli.export.export_onnx', lambda **options: calls.append(options) or result)
    assert main(['export', '--onnx', '--checkpoint', 'a.pth', '--out', 'm.onnx', '--tower', 'w.pt']) == 0
    assert calls == [dict(checkpoint='a.pth', out='m.onnx', tower='w.pt')]
    assert capsys.readouterr().out == 'm.onnx: written\n'


@pytest.mark.parametrize(
    ('checkpoint', 'message'),
    [
        ('missing.pth', "error: checkpoint: found no file 'missing.pth'"),
        ('none', 'error: --checkpoint: found none, expected a checkpoint that training wrote; an untrained model is'),
    ],
)
def test_what_is_no_checkpoint_ends_in_one_line(tmp_path, capsys, checkpoint, message):
    assert main(['export', '--onnx', '--checkpoint', checkpoint, '--out', str(tmp_path / 'm.onnx')]) == 2
    assert capsys.readouterr().err.startswith(message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('words', [['--checkpoint', 'a.pth', '--out', 'm.onnx'], ['--onnx', '--out', 'm.onnx']])
def test_a_missing_argument_is_named(words, capsys):
    with pytest.raises(SystemExit) as exited:
        main(['export', *words])
    assert exited.value.code == 2
    assert 'required' in capsys.readouterr().err
