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


@pytest.mark.parametrize(
    ('words', 'function', 'expected'),
    [
        (
            ['--hub', 'h', '--with-tower', '--force'],
            'export_hub',
            dict(checkpoint='a.pth', tower=None, out='h', with_tower=True, force=True),
        ),
        (['--torch-export', '--out', 'm.pt2'], 'export_torch', dict(checkpoint='a.pth', tower=None, out='m.pt2')),
        (
            ['--onnx', '--int8', '--calibration-data', 'cssa_demo', '--data-root', 'd', '--out', 'm.onnx'],
            'export_int8',
            dict(checkpoint='a.pth', tower=None, out='m.onnx', calibration_data='cssa_demo', data_root='d'),
        ),
    ],
)
def test_each_kind_has_its_function(monkeypatch, capsys, words, function, expected):
    calls = []
    result = SimpleNamespace(text=lambda: 'written')
    monkeypatch.setattr(f'cssa_mm.cli.export.{function}', lambda **options: calls.append(options) or result)
    assert main(['export', '--checkpoint', 'a.pth', *words]) == 0
    assert calls == [expected]
    assert capsys.readouterr().out == 'written\n'


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--onnx'], '--out: found none'),
        (['--hub', ''], "--hub: found ''"),
        (['--hub', 'h', '--out', 'm'], "--out: found 'm' with --hub"),
        (['--onnx', '--out', 'm.onnx', '--with-tower'], '--with-tower: found it without --hub'),
        (['--onnx', '--out', 'm.onnx', '--force'], '--force: found it without --hub'),
        (['--torch-export', '--out', 'm.pt2', '--int8'], '--int8: found it without --onnx'),
        (['--onnx', '--out', 'm.onnx', '--int8'], '--int8: found no --calibration-data'),
        (['--onnx', '--out', 'm.onnx', '--calibration-data', 't.csv'], '--calibration-data: found it without --int8'),
        (['--hub', 'h', '--data-root', 'd'], '--data-root: found it without --calibration-data'),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_read(words, message, capsys):
    assert main(['export', '--checkpoint', 'missing.pth', *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'error: {message}')


def test_a_place_that_cannot_be_written_ends_in_one_line(monkeypatch, capsys):
    def full(**options):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('cssa_mm.cli.export.export_hub', full)
    assert main(['export', '--hub', 'h', '--checkpoint', 'a.pth']) == 2
    assert capsys.readouterr().err.startswith("error: out: cannot write 'h' (No space left on device), expected")
