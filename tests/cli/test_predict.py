"""`cssa predict`: a folder of photos, killed and gone on with; each mistake is one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.cli
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def checkpoint(make_model, tmp_path_factory):
    """A checkpoint of a tiny model."""
    path = tmp_path_factory.mktemp('model') / 'model.pth'
    torch.save(dict(state_dict=make_model(view=dict(type='View', size=64)).state_dict()), path)
    return path


@pytest.fixture
def photos(toy_data, tmp_path):
    shutil.copytree(toy_data / 'test', tmp_path / 'photos')
    return tmp_path / 'photos'


@pytest.fixture
def call(quick_run, photos, checkpoint, tmp_path):
    """call(*arguments) -> the finished command on the photos, into `out`; later arguments count."""

    def run(*arguments):
        common = ['--checkpoint', checkpoint, '--out', tmp_path / 'out', '--workers', 0]
        return quick_run('tools/predict.py', photos, *common, *arguments)

    return run


@pytest.mark.smoke
def test_a_folder_is_labelled_and_the_summary_says_how(call, tmp_path):
    done = call('--threshold', '.4', '--scores', 'csv', '--formats', 'fiftyone')
    assert done.returncode == 0, done.stderr[-3000:]
    out = tmp_path / 'out'
    assert sorted(os.listdir(out)) == [
        'classes.txt',
        'fiftyone',
        'model.json',
        'predictions.csv',
        'scores.csv',
        'shards',
    ]
    assert len((out / 'predictions.csv').read_text().splitlines()) == 13
    assert f'{out}: 12 images, ' in done.stdout
    assert 'thresholds that the user gave, in place of those of the model' in done.stdout
    assert 'images/s' in done.stdout
    assert 'Predicting: 100%' in done.stderr
    assert 'nothing to do' in call('--threshold', '.4', '--scores', 'csv', '--formats', 'fiftyone').stdout


def test_thresholds_of_a_file(call, tmp_path):
    names = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
    path = tmp_path / 't.csv'
    path.write_text('class,threshold\n' + ''.join(f'{name},{int(name != "cat")}\n' for name in names))
    done = call('--threshold', path, '--formats')
    assert done.returncode == 0, done.stderr[-3000:]
    rows = (tmp_path / 'out' / 'predictions.csv').read_text().splitlines()[1:]
    assert {row.split(',')[1] for row in rows} == {'cat'}
    classes = json.loads((tmp_path / 'out' / 'model.json').read_text())['classes']
    assert [entry['threshold'] for entry in classes] == [1, 0, 1, 1, 1, 1]
    path.write_text(path.read_text().replace('cat', 'cats'))
    done = call('--threshold', path)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "error: threshold: found the class 'cats', expected those of the model. Did you mean 'cat'?\n"
    )


def test_zero_shot_clip_labels_a_folder(call, config, tmp_path):
    done = call('--checkpoint', 'none', '--config', config, '--device', 'cpu', '--cfg-options', 'view.size=64')
    assert done.returncode == 0, done.stderr[-3000:]
    model = json.loads((tmp_path / 'out' / 'model.json').read_text())
    assert len(model['zero_shot_names']) == len(model['class_names']) == 6
    assert model['view']['size'] == 64
    assert "thresholds of the model, found on labelled images by the rule 'f1'" in done.stdout


def test_class_names_and_photos_are_enough_and_photos_lean_on_each_other(call, photos, clip_dir, tmp_path):
    common = ['--checkpoint', 'none', '--tower', f'tiny-rn:{clip_dir / "tiny-rn.pt"}', '--device', 'cpu']
    common += ['--scores', 'csv', '--formats']
    done = call(*common, '--classes', 'dog, red kite')
    assert done.returncode == 0, done.stderr[-3000:]
    alone = (tmp_path / 'out' / 'scores.csv').read_text()
    (photos / 'classes.txt').write_text('dog\nred kite\n')
    done = call(*common, '--neighbours')
    assert done.returncode == 2
    assert 'with predictions without neighbours' in done.stderr.splitlines()[-1]
    done = call(*common, '--neighbours', '--force')
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Reading neighbours: 100%' in done.stderr
    assert 'neighbours: a score leans on those of the images that look most alike, among 12' in done.stdout
    found = (tmp_path / 'out' / 'scores.csv').read_text()
    assert found.splitlines()[0] == alone.splitlines()[0] == 'image,dog,red kite'
    assert found != alone
    assert json.loads((tmp_path / 'out' / 'model.json').read_text())['neighbours']['images'] == 12
    assert 'nothing to do' in call(*common, '--neighbours').stdout


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--checkpoint', 'nowhere.pth'], "checkpoint: found no file 'nowhere.pth'"),
    (['--checkpoint', 'README.md'], "found 'README.md' that cannot be loaded"),
    (['--checkpoint', 'none'], 'config: found none for --checkpoint none'),
    (['--labels', 'x.csv'], '--labels: found it without --checkpoint none'),
    (['--neighbours'], 'neighbours: found them beside a checkpoint'),
    (['--classes', 'dog, cat'], 'classes: found them beside a checkpoint'),
    (['--checkpoint', 'none', '--classes', 'dog,,cat'], "classes: found 'dog,,cat'"),
    (['--new-classes', ''], "new_classes: found ''"),
    (['--new-classes', 'owl, owl'], "'owl'"),
    (['--threshold', 'high'], "threshold: found neither a number nor a readable file in 'high'"),
    (['--out', 'README.md'], "out: found the file 'README.md', expected a folder"),
    (['--out', 'docs'], "out: found 'docs', which holds something that no prediction wrote"),
    (['--out', '/proc/out'], "out: cannot write to '/proc/out'"),
])  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_written(call, tmp_path, arguments, message):
    done = call(*arguments)
    assert done.returncode == 2, done.stderr[-3000:]
    assert 'Traceback' not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith('error: ')
    assert message in last
    assert not (tmp_path / 'out').exists()


# -- real processes ----------------------------------------------------------------------------------------------


@pytest.fixture
def started(photos, checkpoint, tmp_path):
    """A process of the command, with 3,000 images and workers, that has finished a shard; and how to go on."""
    source = next(photos.glob('*.png'))
    for number in range(3000):
        os.link(source, photos / f'copy{number}.png')
    command = [sys.executable, 'tools/predict.py', photos, '--checkpoint', checkpoint, '--out', tmp_path / 'out']
    command = [str(word) for word in [*command, '--workers', 2, '--formats', '--batch-size', 4]]
    options = dict(cwd=ROOT, env=os.environ | dict(OMP_NUM_THREADS='1'), text=True, start_new_session=True)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    deadline = time.monotonic() + 120
    while not (tmp_path / 'out' / 'shards' / '000000.npz').exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()[-3000:]
        time.sleep(0.02)
    yield process, lambda: subprocess.run(command, capture_output=True, timeout=250, **options)
    process.kill()


def in_group(group: int) -> list[str]:
    """The processes of a group that still run."""
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            state, _, number = path.read_text().rpartition(')')[2].split()[:3]
        except OSError:
            continue
        if int(number) == group and state != 'Z':
            found.append(path.parent.name)
    return found


@pytest.mark.slow
def test_a_kill_ends_the_workers_too_and_the_same_command_goes_on(started, tmp_path):
    process, goes_on = started
    assert len(in_group(process.pid)) >= 3
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while in_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert in_group(process.pid) == []
    assert os.listdir(tmp_path / 'out') == ['shards']
    done = goes_on()
    assert done.returncode == 0, done.stderr[-3000:]
    assert ' of 3,012 images were predicted before' in done.stdout
    rows = [row.split(',')[0] for row in (tmp_path / 'out' / 'predictions.csv').read_text().splitlines()[1:]]
    assert len(rows) == len(set(rows)) == 3012


@pytest.mark.slow
def test_ctrl_c_is_one_line(started, tmp_path):
    process, _ = started
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert 'Traceback' not in errors
    assert errors.splitlines()[-1] == (
        'error: interrupted; finished shards are kept, and the same command goes on with them'
    )
    assert os.listdir(tmp_path / 'out') == ['shards']
