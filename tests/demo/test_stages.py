"""Stages on a made-up command in place of ours: what is run, kept and shown."""

import json
import sys

import pytest

from cssa_mm.apis.config import load_config
from cssa_mm.demo.stages import STAGES, run_stage
from cssa_mm.errors import CSSAError

FAKE = """
import json, sys
from pathlib import Path
name, *words = sys.argv[1:]
folder = Path(words[words.index('--work-dir') + 1])
with (folder / 'calls.txt').open('a') as file:
    print(json.dumps([name, *words]), file=file)
if name == 'train':
    for step in range(150):
        print(f'mmengine - INFO - Epoch(train)  [{step}][2/2]  lr: 2.0e-03  eta: 0:00:{59 - step // 3:02d}  loss: 1')
    print('mmengine - INFO - Epoch(val) [150][10/10]    ema/mAP: 70.0')
    (folder / 'last_checkpoint').write_text('epoch_150.pth')
    (folder / 'epoch_150.pth').touch()
if 'fail=True' in words:
    print('Traceback (most recent call last):')
    sys.exit('error: config: found the unknown key')
if name == 'test':
    print('mmengine - INFO - Epoch(test) [10/10]    ema/mAP: 71.25')
    out = Path(words[words.index('--out') + 1])
    out.write_text(json.dumps({'ema/mAP': 71.25, 'ema/CF1': 60.123, 'ema/OF1': 50.0, 'student/mAP': 1.0}))
"""


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """stage('cssa', *overrides) -> the metrics of a stage; the demo's folder holds two files."""
    fake = tmp_path / 'fake.py'
    fake.write_text(FAKE)
    monkeypatch.setattr('cssa_mm.demo.stages.COMMAND', (sys.executable, str(fake)))
    data = tmp_path / 'icons'
    data.mkdir()
    for name in ('labels', 'image'):
        (data / name).write_text('1')
    stages = {stage.key: stage for stage in STAGES}
    return lambda key, *overrides: run_stage(stages[key], tmp_path / key, str(data), overrides)


def calls(folder) -> list[list[str]]:
    return [json.loads(line) for line in (folder / 'calls.txt').read_text().splitlines()]


def test_a_stage_trains_and_tests_its_config_by_name(stage, tmp_path, capsys):
    assert stage('labelled_only', 'a=1', 'b=2') == dict(mAP=71.25, CF1=60.12, OF1=50.0)
    train, test = calls(tmp_path / 'labelled_only')
    assert train[:2] == ['train', 'labelled_only_demo']
    assert test[:3] == ['test', 'labelled_only_demo', str(tmp_path / 'labelled_only' / 'epoch_150.pth')]
    for words in (train, test):
        assert words[words.index('--data-root') + 1] == str(tmp_path / 'icons')
        assert words[-2:] == ['a=1', 'b=2']
    assert train[-4:-2] == ['--cfg-options', 'on_used_work_dir=overwrite']
    assert test[-3] == '--cfg-options'
    assert (tmp_path / 'labelled_only' / 'train.log').read_text().count('Epoch(train)') == 150
    assert 'ema/mAP: 71.25' in (tmp_path / 'labelled_only' / 'test.log').read_text()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 12
    assert lines[-1].startswith('labelled-only (100 images)  done  in 0:00:')
    assert lines[-1].endswith('mAP 71.2')


def test_what_does_not_learn_is_tested_as_it_starts(stage, tmp_path):
    stage('zero_shot')
    ((*test,),) = calls(tmp_path / 'zero_shot')
    assert test[:3] == ['test', 'cssa_demo', 'none']
    assert '--cfg-options' not in test


def test_a_result_is_used_again_until_settings_code_or_data_change(stage, tmp_path, capsys, monkeypatch):
    folder = tmp_path / 'zero_shot'
    stage('zero_shot')
    assert stage('zero_shot') == dict(mAP=71.25, CF1=60.12, OF1=50.0)
    assert len(calls(folder)) == 1
    assert f'reusing {folder / "metrics.json"}' in capsys.readouterr().out
    stage('zero_shot', 'a=1')
    assert len(calls(folder)) == 2
    (tmp_path / 'icons' / 'labels').write_text('2 ')
    stage('zero_shot', 'a=1')
    assert len(calls(folder)) == 3
    monkeypatch.setattr('cssa_mm.demo.stages.code_digest', lambda: 'another version')
    stage('zero_shot', 'a=1')
    stage('zero_shot', 'a=1')
    assert len(calls(folder)) == 4


def test_a_stage_that_fails_ends_with_the_last_line_of_its_log_and_is_run_anew(stage, tmp_path, capsys):
    with pytest.raises(CSSAError, match='train failed; the log .*train.log ends with: error: config: found the unk'):
        stage('cssa', 'fail=True')
    assert capsys.readouterr().out.splitlines()[-1].startswith('CSSA (100 + 1,900 unlabelled)  failed')
    with pytest.raises(CSSAError):
        stage('cssa', 'fail=True')
    assert len(calls(tmp_path / 'cssa')) == 2


@pytest.mark.parametrize('stage', STAGES, ids=lambda stage: stage.key)
def test_the_config_of_a_stage_is_shipped(stage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(stage.config).train_dataloader.dataset.type == 'IconsDataset'
