"""mmpretrain's own tools run our configs: what they need of us is the config's `custom_imports` alone."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cli


@pytest.fixture(scope='module')
def tools() -> Path:
    """The folder of the tools that mmpretrain's package carries."""
    found = Path(importlib.util.find_spec('mmpretrain').origin).parent / '.mim' / 'tools'
    if not (found / 'test.py').is_file():
        pytest.skip('this build of mmpretrain carries no tools')
    return found


def test_their_test_tool_reproduces_our_figures(tools, trained, run, config, tmp_path):
    out = tmp_path / 'metrics.json'
    options = ['--work-dir', tmp_path, '--out', out, '--out-item', 'metrics']
    done = run(sys.executable, tools / 'test.py', config, trained.checkpoint, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(out.read_text()) == trained.validations[0]


def test_their_train_tool_trains_what_ours_does(tools, trained, run, config, differing, tmp_path):
    done = run(sys.executable, tools / 'train.py', config, '--work-dir', tmp_path, '--no-validate')
    assert done.returncode == 0, done.stderr[-3000:]
    assert differing(trained.checkpoint, tmp_path / 'epoch_3.pth') == []
