"""mmpretrain's own tools, with our components and names in them."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.cli


@pytest.mark.parametrize('mode', ['transformed', 'pipeline'])
def test_mmpretrain_s_browse_dataset_shows_our_data(quick_run, config, tmp_path, mode):
    arguments = ['--not-show', '--output-dir', tmp_path, '--show-number', '3', '--mode', mode]
    done = quick_run('tools/toolbox.py', 'visualization/browse_dataset', config, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    pictures = sorted(tmp_path.glob('*.jpg'))
    assert len(pictures) == 3
    assert all(len(np.unique(np.asarray(Image.open(path).convert('L')))) > 50 for path in pictures)


def test_an_unknown_tool_is_named_with_the_nearest_one(quick_run):
    done = quick_run('tools/toolbox.py', 'visualization/browse_data')
    assert done.returncode == 2
    assert "Did you mean 'visualization/browse_dataset'?" in done.stderr
