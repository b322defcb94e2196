"""Two processes are one: oracle of all figures is the run with a single process."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from cssa_mm.models.description import KEY, decode_description

pytestmark = [
    pytest.mark.cli,
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.device_count() == 1, reason='two processes cannot share a GPU'),
]


@pytest.fixture
def script(run, port):
    """script('dist_train.sh', *arguments) -> its finished process."""
    return lambda name, *arguments: run('bash', f'tools/{name}', *arguments, PORT=port)


def losses(step: dict) -> dict:
    return {name: value for name, value in step.items() if name.startswith('loss')}


def assert_same_description(found, expected):
    """Calibration is that of scores which differ by rounding."""
    for part, keys in (('calibration', ('slope', 'offset')), ('thresholds', ('values',))):
        for key in keys:
            assert found[part].pop(key) == pytest.approx(expected[part].pop(key), rel=1e-2, abs=1e-3)
    assert found.pop('zero_shot') == pytest.approx(expected.pop('zero_shot'), rel=1e-2, abs=1e-3)
    assert found == expected


def test_two_processes_give_the_losses_and_thresholds_of_one(trained, script, config, read_run, state_of, tmp_path):
    """The two are watched, which rank 0 alone writes for."""
    is_watched = importlib.util.find_spec('tensorboard') is not None
    done = script('dist_train.sh', config, 2, '--work-dir', tmp_path, *(['--tensorboard'] if is_watched else []))
    assert done.returncode == 0, done.stderr[-3000:]
    found = read_run(tmp_path)
    assert len(list(tmp_path.rglob('events.out.tfevents.*'))) == is_watched
    assert len(list(tmp_path.glob('*/vis_data/vis_image/explain/*'))) == 4 * 3 * is_watched

    assert len(found.steps) == len(trained.steps) == 10
    for step, expected in zip(found.steps, trained.steps, strict=True):
        assert losses(step) == pytest.approx(losses(expected), rel=1e-6)
    for kind in ('positive_thresholds', 'negative_thresholds'):
        for epoch, expected in zip(found.pseudo_labels, trained.pseudo_labels, strict=True):
            assert epoch[kind] == pytest.approx(expected[kind], rel=0, abs=3e-6)
    assert found.validations[0] == pytest.approx(trained.validations[0])
    expected = state_of(trained.checkpoint)
    for name, value in state_of(found.checkpoint).items():
        if name == KEY:
            assert_same_description(decode_description(value), decode_description(expected[name]))
        else:
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_the_distributed_test_gives_the_metrics_of_one_process(trained, script, config, tmp_path):
    out = tmp_path / 'metrics.json'
    options = ['--work-dir', tmp_path, '--out', out, '--out-item', 'metrics']
    done = script('dist_test.sh', config, trained.checkpoint, 2, *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(out.read_text()) == pytest.approx(trained.validations[0])


def test_a_batch_that_does_not_divide_names_the_nearest_sizes_that_do(in_two_ranks, config, tmp_path):
    options = ['--launcher', 'pytorch', '--cfg-options', 'train_dataloader.batch_size=7']
    done = in_two_ranks('tools/train.py', config, '--work-dir', tmp_path, *options)
    assert 0 not in [each.returncode for each in done]
    (line,) = {line for each in done for line in each.stderr.splitlines() if line.startswith('error: ')}
    assert line == (
        'error: train_dataloader.batch_size: found 7, the size of the global batch, which does not divide over 2 '
        'processes; the nearest that do are 6 and 8'
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason='mmengine starts nccl itself where there is CUDA')
@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='threads are listed by Linux only')
def test_no_thread_of_gloo_outlives_the_work(run, port):
    """One that does aborts a finished run now and then, at the very end: count them instead of waiting for it."""
    code = (
        'import atexit, glob\n'
        'def report(when):\n'
        '    names = [open(path).read() for path in glob.glob("/proc/self/task/*/comm")]\n'
        '    print(when, sum("gloo" in name for name in names))\n'
        'atexit.register(report, "after")\n'  # the first to be registered is the last to be called
        'import torch\n'
        'from cssa_mm.compat import init_cpu_process_group\n'
        'init_cpu_process_group("pytorch")\n'
        'class Runner: pass\n'
        'runner = Runner()\n'
        'runner.itself, runner.model = runner, torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))\n'
        'report("before")\n'
        'del runner\n'
    )
    group = dict(RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    done = run(sys.executable, '-c', code, **group)
    before, after = (int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith(('before', 'after')))
    assert done.returncode == 0, done.stderr[-2000:]
    assert before > 0
    assert after == 0
