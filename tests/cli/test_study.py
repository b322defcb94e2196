import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cssa_mm.cli.study import main
from cssa_mm.demo.scenes import generate_demo

ROOT = Path(__file__).parents[2]
ROWS = ('zero_shot', 'labelled_only', 'cssa')


@pytest.fixture
def command(tmp_path):
    """The words of a command that runs three rows on a small demo."""
    generate_demo(tmp_path / 'icons', num_train=120, num_test=24)
    return [
        sys.executable, ROOT / 'tools/study.py', 'baselines', '--seeds', '1', '--rows', *ROWS,
        '--data-root', tmp_path / 'icons', '--work-dir', tmp_path / 'out', '--features', tmp_path / 'features',
        '--cfg-options', 'train_cfg.warmup_epochs=60',
    ]  # fmt: skip


def results(work_dir: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in work_dir.glob('*/result.json')}


def wait_until(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]


def is_gone(pid: int) -> bool:
    status = Path(f'/proc/{pid}/stat')
    return not status.exists() or status.read_text().rsplit(')', 1)[1].split()[0] == 'Z'


@pytest.mark.cli
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.long
def test_a_killed_study_goes_on_where_it_was(command, tmp_path):
    words = [str(word) for word in command]
    environment = os.environ | dict(OMP_NUM_THREADS='1')
    process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(results(tmp_path / 'out')) == 1 or process.poll() is not None)
        workers = children(process.pid)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert workers
    wait_until(lambda: all(map(is_gone, workers)), 10)
    assert list(results(tmp_path / 'out')) == ['zero_shot-1']
    first = tmp_path / 'out' / 'zero_shot-1' / 'result.json'
    features = {path: path.stat().st_mtime_ns for path in (tmp_path / 'features').iterdir()}
    stamp = first.stat().st_mtime_ns
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(results(tmp_path / 'out')) == ['cssa-1', 'labelled_only-1', 'zero_shot-1']
    assert first.stat().st_mtime_ns == stamp
    assert {path: path.stat().st_mtime_ns for path in features} == features
    assert 'labelled-only prompts' in done.stdout
    words.append('default_hooks.pseudo_labels.context_seed=none')
    failed = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert failed.returncode == 2
    assert "context_seed: found 'none', expected a whole number" in failed.stderr
    assert sorted(results(tmp_path / 'out')) == ['cssa-1', 'labelled_only-1', 'zero_shot-1']


def test_the_command_line_reaches_every_argument_of_the_function(monkeypatch):
    given = {}
    monkeypatch.setattr('cssa_mm.cli.study.run_study', lambda **arguments: given.update(arguments) or dict(failures={}))
    words = 'noise --seeds 3 4 --jobs 2 --rows a b --config c --data-root d --validation 0.3 --work-dir w --features f'
    assert main([*words.split(), '--keep-results', '--tower', 't', '--cfg-options', 'model.ema.decay=0.5']) == 0
    assert given == dict(
        study='noise',
        seeds=[3, 4],
        jobs=2,
        rows=['a', 'b'],
        config='c',
        data_root='d',
        validation=0.3,
        work_dir='w',
        features='f',
        tower='t',
        keep_results=True,
        overrides={'model.ema.decay': 0.5},
    )
