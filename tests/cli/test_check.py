import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cli


@pytest.fixture
def data(toy_data, tmp_path):
    """The toy data to spoil."""
    return shutil.copytree(toy_data, tmp_path / 'data')


def rename_class(data, old, new):
    for name in ('train.json', 'test.json'):
        content = json.loads((data / name).read_text())
        for category in content['categories']:
            if category['name'] == old:
                category['name'] = new
        (data / name).write_text(json.dumps(content))


def test_the_command_opens_images_in_processes_and_exits_with_the_verdict(quick_run, write_config, data, tmp_path):
    path = write_config(tmp_path / 'config.py', data=data)
    done = quick_run('tools/check.py', path, '--num-workers', 2)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == 'Verdict: training would run well'
    assert '  read as        100 -> ' in done.stdout
    assert '\x1b' not in done.stdout  # no terminal, no colours
    assert 'Images of train: 100%' in done.stderr
    (data / 'train' / '107.png').unlink()
    done = quick_run('tools/check.py', path, '--num-workers', 2)
    assert done.returncode == 1
    assert 'fix: train: 1 missing images: train/107.png -> restore' in done.stdout
    done = quick_run('tools/check.py', path, '--out', tmp_path / 'new' / 'r.json')
    report = json.loads((tmp_path / 'new' / 'r.json').read_text())
    assert report['trains'] is False
    assert [finding['names'] for finding in report['findings']] == [['train/107.png']]


@pytest.fixture
def questioned(write_config, data, tmp_path):
    """A config whose data have the class name 'n02084071' in the place of 'dog'."""
    path = write_config(tmp_path / 'config.py', data=data)
    rename_class(data, 'dog', 'n02084071')
    path.write_text(path.read_text().replace("'dog'", "'n02084071'"))
    return path


def test_an_open_question_stops_both_commands_until_it_is_accepted(quick_run, questioned, tmp_path):
    question = "question: train: the class name 'n02084071' is only a code"
    done = quick_run('tools/check.py', questioned)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, 'Verdict: answer 1 question before training')
    assert question in done.stdout
    short = ['--cfg-options', 'train_cfg.warmup_epochs=1', 'train_cfg.semi_epochs=0', 'train_cfg.val_begin=1']
    train = ['tools/train.py', questioned, '--work-dir', tmp_path / 'run']
    done = quick_run(*train, *short)
    assert done.returncode == 2
    assert 'Epoch(train)' not in done.stdout + done.stderr
    *_, title, line, last = done.stderr.strip().splitlines()
    assert title == 'error: 1 question about the data, before the first step:'
    assert line.startswith(question)
    assert last.endswith('--yes (all), or --cfg-options accept=[codes]')
    for answer in (['--yes', *short], [*short, 'accept=[codes]']):
        done = quick_run(*train, *answer)
        assert done.returncode == 0, done.stderr[-2000:]
        assert 'Data of train: ' in done.stdout + done.stderr
    done = quick_run('tools/check.py', questioned, '--yes')
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        'Verdict: training would run well; 1 question accepted',
    )
    assert f'accepted: train: {question[17:]}' in done.stdout


def test_mmpretrains_own_tool_stops_at_an_open_question_too(run, questioned, tmp_path):
    tool = Path(pytest.importorskip('mmpretrain').__file__).parent / '.mim' / 'tools' / 'train.py'
    if not tool.is_file():
        pytest.skip('this build of mmpretrain carries no tools')
    done = run(sys.executable, tool, questioned, '--work-dir', tmp_path / 'run')
    assert done.returncode != 0
    assert "question: train: the class name 'n02084071' is only a code" in done.stderr
    assert 'Epoch(train)' not in done.stdout + done.stderr


def test_a_test_set_without_positives_is_one_line_and_no_nan(quick_run, write_config, data, tmp_path):
    path = write_config(tmp_path / 'config.py', data=data)
    content = json.loads((data / 'test.json').read_text())
    (data / 'test.json').write_text(json.dumps(content | dict(annotations=[])))
    options = ['--cfg-options', 'val_dataloader.dataset.keep_empty=True', 'test_dataloader.dataset.keep_empty=True']
    done = quick_run('tools/test.py', path, 'none', '--work-dir', tmp_path / 'run', *options)
    assert done.returncode == 2
    assert 'found no class with a positive among the 12 test images' in done.stderr.strip().splitlines()[-1]
    assert 'nan' not in done.stdout


@pytest.mark.parametrize('environment', [{}, dict(NO_COLOR='1'), dict(TERM='dumb')], ids=str)
def test_colours_are_for_terminals_that_want_them(write_config, data, tmp_path, environment):
    path = write_config(tmp_path / 'config.py', data=data)
    leader, follower = pty.openpty()
    kept = {key: value for key, value in os.environ.items() if key != 'NO_COLOR'} | dict(TERM='xterm')
    command = [sys.executable, 'tools/check.py', str(path), '--num-workers', '1']
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], env=kept | environment, stdout=follower, stderr=subprocess.DEVNULL
    )
    os.close(follower)
    text = b''
    try:
        while block := os.read(leader, 65536):
            text += block
    except OSError:  # how a terminal ends on Linux
        pass
    assert process.wait(60) == 0
    plain = re.sub(r'\x1b\[\d*m', '', text.decode())
    assert plain.splitlines()[-1] == 'Verdict: training would run well'
    assert ('\x1b[32m' in text.decode()) == (environment == {})
