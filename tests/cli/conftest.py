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
FORKING = """
import atexit, json, os, runpy, sys, traceback
answers = os.fdopen(os.dup(1), 'w')
os.dup2(2, 1)  # what an import prints is no answer
import matplotlib.pyplot
import mmengine.config.config
import cssa_mm.apis.testing
# The runner formats its config three times, which takes seconds and changes nothing.
mmengine.config.config.FormatCode = lambda text, **options: (text, True)
def run(script):
    sys.path.insert(0, os.path.dirname(script))  # as Python does
    try:
        runpy.run_path(script, run_name='__main__')
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
for line in sys.stdin:
    if not line.strip():
        break
    words, *paths = json.loads(line)
    if os.fork() == 0:
        for number, path in enumerate(paths, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = words
        code = run(words[0])
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # to take down all that was imported would take longer than most commands
    print(os.waitstatus_to_exitcode(os.wait()[1]), file=answers, flush=True)
os._exit(0)
"""


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
def quick_run(tmp_path_factory):
    """quick_run('tools/train.py', *arguments) -> a finished process, forked from one that has done the imports.

    Starting Python takes most commands longer than their own work.
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
    # An empty line ends it: the end of its input would not, as long as a forked worker holds the pipe open.
    server.stdin.write('\n')
    server.stdin.close()
    server.wait(60)


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
            checkpoint=Path((work_dir / 'last_checkpoint').read_text().strip()),
        )

    return read


@pytest.fixture(scope='session')
def trained(run, config, read_run, tmp_path_factory) -> SimpleNamespace:
    """One run of the config, in a process of its own: its work_dir beside what `read_run` gives."""
    work_dir = tmp_path_factory.mktemp('trained')
    done = run(sys.executable, 'tools/train.py', config, '--work-dir', work_dir)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
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
