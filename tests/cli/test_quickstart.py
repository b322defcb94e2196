"""`cssa quickstart` at toy size, on the demo's own CLIP: what it writes, and that it writes it once."""

import json
import re
import sys

import pytest
from PIL import Image

from cssa_mm.demo.scenes import generate_demo
from cssa_mm.demo.stages import STAGES

pytestmark = [pytest.mark.cli, pytest.mark.slow]
COMMAND = [sys.executable, '-m', 'cssa_mm', 'quickstart']
# Options hold for every row: the number of semi-supervised epochs, which the rows differ in, is left alone.
OPTIONS = [
    'train_cfg.warmup_epochs=2',
    'train_cfg.val_begin=12',
    'train_dataloader.dataset.split.proportion=0.4',
    'train_dataloader.batch_size=16',
    'default_hooks.calibration.folds=0',
]


@pytest.mark.long
def test_the_quickstart_writes_table_picture_and_summary_and_reuses_them(run, tmp_path):
    data = generate_demo(tmp_path / 'icons', num_train=60, num_test=30)
    work_dir = tmp_path / 'quickstart'
    command = [*COMMAND, '--work-dir', work_dir, '--data-root', data, '--cfg-options', *OPTIONS]

    done = run(*command)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    summary = json.loads((work_dir / 'summary.json').read_text())
    assert set(summary) == {'zero_shot', 'labelled_only', 'cssa', 'cssa_plus', 'wall_seconds'}
    for row in ('zero_shot', 'labelled_only', 'cssa', 'cssa_plus'):
        assert set(summary[row]) == {'mAP', 'CF1', 'OF1'}
        assert all(0 <= value <= 100 for value in summary[row].values())
        assert ' '.join(f'{summary[row][name]:.1f}' for name in ('mAP', 'CF1', 'OF1')) in ' '.join(done.stdout.split())
    assert summary['zero_shot'] != summary['labelled_only'] != summary['cssa'] != summary['cssa_plus']
    assert summary['wall_seconds'] > 1
    assert not (work_dir / 'labelled_only' / 'pseudo_labels.jsonl').exists()
    assert (work_dir / 'cssa' / 'pseudo_labels.jsonl').read_text().count('\n') == 12
    picture = work_dir / 'quickstart.png'
    assert f'picture: {picture}' in done.stdout
    assert min(Image.open(picture).size) > 300
    for title in ('zero-shot CLIP', 'labelled-only', 'CSSA', 'cssa_plus'):
        assert re.search(rf'^{title}.*  done  in 0:.*  mAP \d', done.stdout, re.MULTILINE)
    assert 'Epoch(' not in done.stdout
    assert 'Epoch(train)' in (work_dir / 'cssa' / 'train.log').read_text()
    assert 'reusing' not in done.stdout

    again = run(*command)
    assert again.returncode == 0, again.stderr[-2000:]
    assert again.stdout.count('reusing') == 4
    other = json.loads((work_dir / 'summary.json').read_text())
    assert other.pop('wall_seconds') < summary.pop('wall_seconds') / 2
    assert other == summary


def test_a_stage_that_fails_shows_the_line_of_the_tool(quick_run, tmp_path):
    (tmp_path / 'annotations').mkdir()  # no scenes are drawn for a config that is wrong
    options = ['--cfg-options', 'model.unlabeled_weight=1']
    done = quick_run('tools/quickstart.py', '--work-dir', tmp_path, '--data-root', tmp_path, *options)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    titles = '|'.join(re.escape(stage.title) for stage in STAGES)  # several begin at the same time
    assert re.match(rf'error: ({titles}): (train|test) failed; the log ', line)
    assert "error: config: found the unknown key 'model.unlabeled_weight'" in line
    assert not (tmp_path / 'summary.json').exists()
