import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.cli


def test_the_command_draws_weak_and_strong_pairs(quick_run, config, tmp_path):
    out = tmp_path / 'new' / 'pairs.png'
    done = quick_run('tools/browse.py', config, '--out', out, '--num', '4')
    assert done.returncode == 0, done.stderr[-3000:]
    assert '16 labelled and 24 unlabelled training images, 6 classes' in done.stdout
    assert 'weak:   View, PackInputs' in done.stdout
    assert 'strong: View, RandomFlip, Cutout, RandAugment, PackInputs' in done.stdout
    assert done.stdout.endswith(f'picture: {out}\n')
    with Image.open(out) as picture:
        assert picture.width > picture.height > 300
        assert len(np.unique(np.asarray(picture.convert('L')))) > 50
    assert [path.name for path in out.parent.iterdir()] == ['pairs.png']
