"""What the tests of the commands share: a config file of a user's own on the toy data, and one finished run of it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).parents[2]
CONFIG = """
_base_ = {base!r}
sample = dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip'))
plain_view = [dict(type='LoadRGBImage'), sample]
# Nothing of this view can be cached: the tower sees every augmented image.
strong_view = [
    dict(type='LoadRGBImage'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Cutout', shape=16, prob=0.5),
    dict(type='RandAugment', policies='timm_increasing', num_policies=2, total_level=10, magnitude_level=9),
    sample,
]
loader = dict(batch_size=8, num_workers=0, persistent_workers=False)
test = dict(data_root={data!r}, class_names={names!r}, ann_file='test.json', img_dir='test', pipeline=plain_view)
train = dict(test, ann_file='train.json', img_dir='train', pipeline=strong_view, split=dict(proportion=0.4, seed=1))
train_dataloader = dict(loader, dataset=train, sampler=dict(labelled_per_batch=2))
val_dataloader = dict(loader, dataset=test)
test_dataloader = dict(loader, dataset=test)
del sample, plain_view, strong_view, loader, test, train
model = dict(
    backbone={backbone!r},
    class_names={names!r},
    head=dict(prompts=dict(num_context=2, initial_words='a'), temperature=15.0),
    context_head=dict(num_contexts=2),
    loss=dict(gamma_negative=0.0, clip=0.0),
)
train_cfg = dict(warmup_epochs=1, semi_epochs=2, val_begin=3)
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(max_keep_ckpts=-1),
    feature_cache=dict(num_workers=0),
    pseudo_labels=dict(num_workers=0),
)
log_processor = dict(window_size=1)
"""
FORKING = """
import json, os, runpy, sys
answers = os.fdopen(os.dup(1), 'w')
os.dup2(2, 1)  # what an import prints is no answer
import cssa_mm.apis.testing
for line in sys.stdin:
    words, *paths = json.loads(line)
    if os.fork() == 0:
        for number, path in enumerate(paths, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = words
        runpy.run_path(words[0], run_name='__main__')
        sys.exit()
    print(os.waitstatus_to_exitcode(os.wait()[1]), file=answers, flush=True)
"""


@pytest.fixture(scope='session')
def write_config(clip_dir, toy_data, backbone_config):
    """write_config(path, tower='tiny-rn', data=toy_data) -> the path of a config file on the toy data."""
    names = [category['name'] for category in json.loads((toy_data / 'train.json').read_text())['categories']]

    def write(path: Path, tower: str = 'tiny-rn', data: Path = toy_data) -> Path:
        base = str(ROOT / 'configs' / 'cssa_coco_p05.py')
        path.write_text(CONFIG.format(base=base, data=str(data), names=names, backbone=backbone_config(tower)))
        return path

    return write


@pytest.fixture(scope='session')
def config(write_config, tmp_path_factory) -> Path:
    """A config file as a user writes it: the shipped one by inheritance, with data, tower and schedule of its own."""
    return write_config(tmp_path_factory.mktemp('config') / 'toy.py')


@pytest.fixture(scope='session')
def run():
    """run(*command, **environment) -> the finished process of a command, run in the repository."""

    def call(*command, **environment) -> subprocess.CompletedProcess:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(('CSSA_', 'FAMILY'))}
        environment = kept | dict(OMP_NUM_THREADS='1', PYTHON=sys.executable) | environment
        words = [str(word) for word in command]
        return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)

    return call


@pytest.fixture(scope='session')
def tool(run):
    """tool('train.py', *arguments) -> its finished process; one that fails shows its output."""

    def call(name: str, *arguments, **environment) -> subprocess.CompletedProcess:
        done = run(sys.executable, ROOT / 'tools' / name, *arguments, **environment)
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
        return done

    return call


@pytest.fixture(scope='session')
def quick_run(tmp_path_factory):
    """quick_run('tools/train.py', *arguments) -> a finished process, forked from one that has done the imports.

    For the many commands that fail at once: starting Python takes them longer than their own work.
    """
    folder = tmp_path_factory.mktemp('output')
    environment = {key: value for key, value in os.environ.items() if not key.startswith('CSSA_')}
    server = subprocess.Popen(
        [sys.executable, '-c', FORKING],
        cwd=ROOT,
        # NVML answers whether there is CUDA without starting it, which no fork would survive.
        env=environment | dict(OMP_NUM_THREADS='1', PYTORCH_NVML_BASED_CUDA_CHECK='1'),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def call(*command) -> subprocess.CompletedProcess:
        words = [str(word) for word in command]
        paths = [folder / 'stdout', folder / 'stderr']
        server.stdin.write(json.dumps([words, *map(str, paths)]) + '\n')
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(words, code, *(path.read_text() for path in paths))

    yield call
    server.stdin.close()
    server.wait(60)


@pytest.fixture(scope='session')
def read_run():
    """read_run(work_dir) -> steps and validations that it logged, pseudo-labels of its epochs, last checkpoint."""

    def read(work_dir: Path) -> SimpleNamespace:
        (scalars,) = work_dir.glob('*/vis_data/scalars.json')
        lines = [json.loads(line) for line in scalars.read_text().splitlines()]
        return SimpleNamespace(
            steps=[line for line in lines if 'loss' in line],
            validations=[
                {key: value for key, value in line.items() if key.startswith(('ema/', 'student/'))}
                for line in lines
                if 'ema/mAP' in line
            ],
            pseudo_labels=[json.loads(line) for line in (work_dir / 'pseudo_labels.jsonl').read_text().splitlines()],
            checkpoint=Path((work_dir / 'last_checkpoint').read_text().strip()),
        )

    return read


@pytest.fixture(scope='session')
def trained(tool, config, read_run, tmp_path_factory) -> SimpleNamespace:
    """One run of the config: its work_dir beside what `read_run` gives."""
    work_dir = tmp_path_factory.mktemp('trained')
    tool('train.py', config, '--work-dir', work_dir)
    return SimpleNamespace(work_dir=work_dir, **vars(read_run(work_dir)))


@pytest.fixture(scope='session')
def state_of():
    """state_of(checkpoint) -> its state_dict, read as plain data."""
    return lambda path: torch.load(path, weights_only=True)['state_dict']


@pytest.fixture(scope='session')
def differing(state_of):
    """differing(checkpoint, other) -> the entries of their state_dicts that are not bitwise the same."""

    def compare(first: Path, second: Path) -> list[str]:
        a, b = state_of(first), state_of(second)
        return [name for name in a | b if name not in a or name not in b or not torch.equal(a[name], b[name])]

    return compare


@pytest.fixture
def port() -> str:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])
