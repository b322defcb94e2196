import json
import shutil

import pytest

pytestmark = pytest.mark.cli


@pytest.fixture
def data(toy_data, tmp_path):
    """The toy data to spoil."""
    return shutil.copytree(toy_data, tmp_path / 'data')


def test_the_command_opens_images_in_processes_and_exits_with_the_verdict(quick_run, write_config, data, tmp_path):
    path = write_config(tmp_path / 'config.py', data=data)
    done = quick_run('tools/check.py', path, '--num-workers', 2)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == 'Verdict: training would run well'
    assert 'Images of train: 100%' in done.stderr
    (data / 'train' / '107.png').unlink()
    done = quick_run('tools/check.py', path, '--num-workers', 2)
    assert done.returncode == 1
    assert 'fix: train: 1 missing images: train/107.png -> restore' in done.stdout
    done = quick_run('tools/check.py', path, '--out', tmp_path / 'new' / 'r.json')
    report = json.loads((tmp_path / 'new' / 'r.json').read_text())
    assert report['trains'] is False
    assert [finding['names'] for finding in report['findings']] == [['train/107.png']]
