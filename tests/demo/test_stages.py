"""Stages on made-up trainings and tests in place of ours: what is run, kept and shown."""

import json
import multiprocessing
import time

import pytest

from cssa_mm.apis.config import load_config
from cssa_mm.demo import stages
from cssa_mm.demo.stages import FEATURES, STAGES, run_stages
from cssa_mm.errors import ConfigError, CSSAError

METRICS = {'ema/mAP': 71.25, 'ema/CF1': 60.123, 'ema/OF1': 50.0, 'student/mAP': 1.0}
TABLE = dict(mAP=71.25, CF1=60.12, OF1=50.0)
pytestmark = pytest.mark.skipif('fork' not in multiprocessing.get_all_start_methods(), reason='fakes reach forks alone')


def note(name, work_dir, **given) -> None:
    """Add a call to those of a stage."""
    given = {key: str(value) if key in ('checkpoint', 'out') else value for key, value in given.items()}
    with (work_dir / 'calls.txt').open('a') as file:
        print(json.dumps(dict(given, name=name, began=time.monotonic())), file=file)


def train(**given):
    """A training in place of ours."""
    note('train', **given)
    if given['overrides'].get('fail') == given['config']:
        raise ConfigError('config: found the unknown key')
    if given['overrides'].get('crash') == given['config']:
        raise ZeroDivisionError('in the middle')
    for step in range(150):
        print(f'mmengine - INFO - Epoch(train)  [{step}][2/2]  lr: 2.0e-03  eta: 0:00:{59 - step // 3:02d}  loss: 1')
    time.sleep(given['overrides'].get('seconds', 0))
    (given['work_dir'] / 'trained').touch()
    print('mmengine - INFO - Epoch(val) [150][10/10]    ema/mAP: 70.0')
    return Trained(given['work_dir'] / 'epoch_150.pth')


class Trained:
    """What a training returns."""

    def __init__(self, checkpoint) -> None:
        self.checkpoint = checkpoint


def evaluate(**given) -> None:
    """A test in place of ours."""
    note('test', **given)
    print('mmengine - INFO - Epoch(test) [10/10]    ema/mAP: 71.25')
    given['out'].write_text(json.dumps(METRICS))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(**overrides) -> the metrics of all stages; the demo's folder holds two files."""
    monkeypatch.setattr(stages, 'train', train)
    monkeypatch.setattr(stages, 'test', evaluate)
    monkeypatch.setattr(stages.torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(stages, 'PAUSE', 0.02)
    monkeypatch.setattr(stages, 'num_cores', lambda: 2)
    data = tmp_path / 'icons'
    data.mkdir()
    for name in ('labels', 'image'):
        (data / name).write_text('1')
    return lambda **overrides: run_stages(tmp_path / 'work', str(data), overrides)


@pytest.fixture
def calls(tmp_path):
    """calls('cssa') -> the calls of a stage."""
    return lambda key: [json.loads(line) for line in (tmp_path / 'work' / key / 'calls.txt').read_text().splitlines()]


def test_a_stage_trains_and_tests_its_config_by_name(run, calls, tmp_path, capsys):
    assert run(a=1, b='2') == dict.fromkeys(('zero_shot', 'labelled_only', 'cssa', 'cssa_plus'), TABLE)
    folder = tmp_path / 'work' / 'labelled_only'
    trained, tested = calls('labelled_only')
    assert (trained['name'], tested['name']) == ('train', 'test')
    for call in (trained, tested):
        assert call['config'] == 'labelled_only_demo'
        assert call['data_root'] == str(tmp_path / 'icons')
        assert (call['overrides']['a'], call['overrides']['b']) == (1, '2')
    assert trained['overrides']['on_used_work_dir'] == 'overwrite'
    assert 'on_used_work_dir' not in tested['overrides']
    assert tested['checkpoint'] == str(folder / 'epoch_150.pth')
    assert (folder / 'train.log').read_text().count('Epoch(train)') == 150
    assert (folder / 'test.log').read_text().endswith('ema/mAP: 71.25\n')
    lines = capsys.readouterr().out.splitlines()
    done = [line for line in lines if 'done' in line]
    assert sorted(line.split('  ')[0] for line in done) == sorted(stage.title for stage in STAGES)
    assert all(line.endswith('mAP 71.2') for line in done)


def test_what_does_not_learn_is_tested_as_it_starts(run, calls):
    run()
    (call,) = calls('zero_shot')
    assert (call['name'], call['config'], call['checkpoint']) == ('test', 'cssa_demo', 'None')


def test_all_stages_share_their_features_unless_they_are_told_otherwise(run, calls, tmp_path):
    run()
    shared = str(tmp_path / 'work' / 'features')
    found = [call['overrides'][FEATURES] for stage in STAGES for call in calls(stage.key)]
    assert found == [shared] * 7
    run(**{FEATURES: None})
    assert calls('cssa')[-1]['overrides'][FEATURES] is None


@pytest.mark.parametrize('cores', [1, 2, 8])
def test_as_many_stages_run_at_a_time_as_there_are_cores(run, calls, monkeypatch, cores):
    monkeypatch.setattr(stages, 'num_cores', lambda: cores)
    run(seconds=0.4)
    begun = sorted((calls(stage.key)[0]['began'], calls(stage.key)[-1]['began']) for stage in STAGES)
    most = max(sum(first <= moment < last + 0.01 for first, last in begun) for moment, _ in begun)
    assert most == min(cores, 4)
    longest_first = [stage.key for stage in STAGES if calls(stage.key)[0]['began'] == begun[0][0]]
    assert longest_first == ['cssa_plus'] or cores > 1


def test_a_system_that_does_not_tell_its_memory_goes_by_its_cores(run, calls, monkeypatch):
    monkeypatch.setattr(stages, 'free_memory', lambda: float('inf'))
    run()
    assert len(calls('cssa')) == 2


def test_little_memory_lets_one_stage_run_after_the_other(run, calls, monkeypatch):
    monkeypatch.setattr(stages, 'free_memory', lambda: 0.5 * stages.GIB)
    run(seconds=0.2)
    spans = sorted((calls(stage.key)[0]['began'], calls(stage.key)[-1]['began']) for stage in STAGES)
    assert all(last < first for (_, last), (first, _) in zip(spans[:-1], spans[1:], strict=True))


def test_a_result_is_used_again_until_settings_code_or_data_change(run, calls, tmp_path, capsys, monkeypatch):
    run()
    table = run()
    assert table['zero_shot'] == TABLE
    assert len(calls('zero_shot')) == 1
    assert f'reusing {tmp_path / "work" / "zero_shot" / "metrics.json"}' in capsys.readouterr().out
    run(a=1)
    assert len(calls('zero_shot')) == 2
    (tmp_path / 'icons' / 'labels').write_text('2 ')
    run(a=1)
    assert len(calls('zero_shot')) == 3
    monkeypatch.setattr(stages, 'code_digest', lambda: 'another version')
    run(a=1)
    run(a=1)
    assert len(calls('zero_shot')) == 4


def test_a_stage_that_fails_ends_with_the_last_line_of_its_log_and_is_run_anew(run, calls, capsys):
    with pytest.raises(CSSAError, match='^CSSA .*: train failed; the log .*train.log ends with: error: config: found'):
        run(fail='cssa_demo')
    assert 'CSSA (100 + 1,900 unlabelled)  failed' in capsys.readouterr().out
    with pytest.raises(CSSAError):
        run(fail='cssa_demo')
    assert len(calls('cssa')) == 2


def test_a_fault_of_a_stage_is_told_too_and_the_others_end(run, calls, tmp_path):
    with pytest.raises(CSSAError, match='ends with: ZeroDivisionError: in the middle'):
        run(crash='cssa_demo', seconds=5)
    assert multiprocessing.active_children() == []
    assert len(calls('cssa_plus')) == 1  # had begun
    assert not (tmp_path / 'work' / 'cssa_plus' / 'trained').exists()


def test_each_line_of_a_log_is_read_once_and_whole(run, monkeypatch):
    read = []
    monkeypatch.setattr(stages.LiveLine, 'read', lambda line, words: read.append((line.title, words)))
    run(seconds=0.2)
    for stage in STAGES:
        lines = [words for title, words in read if title == stage.title]
        assert sum('Epoch(train)' in words for words in lines) == 150 * stage.trains
        assert sum(words.endswith('ema/mAP: 71.25') for words in lines) == 1


@pytest.mark.parametrize('stage', STAGES, ids=lambda stage: stage.key)
def test_the_config_of_a_stage_is_shipped(stage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(stage.config).train_dataloader.dataset.type == 'IconsDataset'
