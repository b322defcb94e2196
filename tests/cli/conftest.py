"""What the tests of the commands share: ways to run them, and one finished training."""

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
def quick_run(fork_server):
    """quick_run('tools/train.py', *arguments) -> a finished process, forked from one that has done the imports."""
    return lambda *command: fork_server.run(command)[0]


@pytest.fixture(scope='session')
def tool(quick_run):
    """tool('train.py', *arguments) -> its finished process, by `quick_run`; one that fails shows its output."""

    def call(name: str, *arguments) -> subprocess.CompletedProcess:
        done = quick_run(f'tools/{name}', *arguments)
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
        return done

    return call


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
            checkpoint=work_dir / (work_dir / 'last_checkpoint').read_text(),
        )

    return read


@pytest.fixture(scope='session')
def trained(tool, config, read_run, tmp_path_factory) -> SimpleNamespace:
    """One run of the config, in a process of its own: its work_dir beside what `read_run` gives."""
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
