"""Tests in fresh environments of several Pythons: bash tools/acceptance.sh versions, or without bash
python tests/reliability/versions.py [--pythons 3.10 3.11 3.12 3.13] [--kinds openmmlab onedl lowest] [arguments of
pytest].

openmmlab, onedl   the newest versions that setup.py allows, of either family
lowest             requirements/lowest.txt: the lowest versions that setup.py allows

torch and torchvision are those of requirements/base.txt in each. pip takes them from wherever its settings say:
PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS name builds for the CPU, which are small; PyPI's for Linux take gigabytes.

The tests are the smoke set, unless arguments of pytest say otherwise. An environment is removed when its tests are
done, unless --keep. Printed is a line for each Python and kind, and which Pythons were not found on this machine. Exit
status 1 if an installation or a test failed, 2 if nothing was run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ('3.10', '3.11', '3.12', '3.13')
KINDS = ('openmmlab', 'onedl', 'lowest')
# They would be compiled for minutes, and fail, where there is no build for a Python.
BINARY = 'numpy,scipy,scikit-learn,pyarrow,pillow,matplotlib,safetensors,torch,torchvision'
ASK = 'import sys; print("%d.%d" % sys.version_info[:2])'
Call = Callable[..., 'subprocess.CompletedProcess[str]']


class Outcome(NamedTuple):
    """What became of a Python and a kind: 'passed', 'failed', 'not installed' or 'not found', and a line about it."""

    python: str
    kind: str
    result: str
    line: str = ''


def call(words: Sequence[str | os.PathLike], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command and read along; a program that is not there is one that fails."""
    settings = dict(cwd=ROOT, capture_output=True, text=True, errors='replace', check=False) | options
    try:
        return subprocess.run(list(map(os.fspath, words)), **settings)  # type: ignore[call-overload]
    except OSError as error:
        return subprocess.CompletedProcess(words, 127, '', str(error))


def candidates(version: str) -> Iterator[list[str]]:
    """Commands that may start a Python of this version: this one, the path's, pyenv's, uv's, and Windows' launcher."""
    yield [sys.executable]
    yield [f'python{version}']
    pyenv = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv'), 'versions')
    uv = Path(os.environ.get('UV_PYTHON_INSTALL_DIR', Path.home() / '.local' / 'share' / 'uv' / 'python'))
    for folder, pattern in ((pyenv, f'{version}.*'), (uv, f'cpython-{version}.*')):
        for found in sorted(folder.glob(pattern), reverse=True):
            yield [str(found / ('python.exe' if os.name == 'nt' else 'bin/python3'))]
    yield ['py', f'-{version}']


def find(version: str, run: Call = call) -> list[str] | None:
    """The command that starts a Python of this version; None if this machine has none."""
    return next((words for words in candidates(version) if run([*words, '-c', ASK]).stdout.strip() == version), None)


def requirements(kind: str) -> list[str]:
    """What pip installs for a kind."""
    tests = ['-r', 'requirements/test.txt']
    if kind == 'lowest':
        return ['-r', 'requirements/lowest.txt', *tests]
    pins = re.findall(r'^(?:torch|torchvision)==\S+', (ROOT / 'requirements' / 'base.txt').read_text('utf-8'), re.M)
    return [*pins, *tests, '-e', f'.[{kind}]']


def try_out(version: str, kind: str, folder: Path, words: Sequence[str], run: Call = call) -> Outcome:
    """Make an environment, install into it, and run the tests."""
    command = find(version, run)
    if command is None:
        return Outcome(version, kind, 'not found')
    python = folder / ('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
    pip = [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary', BINARY]
    steps: list[list] = [[*command, '-m', 'venv', '--clear', folder], [*pip, *requirements(kind)]]
    steps += [[*pip, '--no-deps', '-e', '.']] if kind == 'lowest' else []
    for step in steps:
        done = run(step)
        if done.returncode:
            errors = (
                re.findall(r'^ERROR: (.+)', done.stderr, re.M) or done.stderr.strip().splitlines() or ['no message']
            )
            return Outcome(version, kind, 'not installed', errors[-1])
    # Another checkout's code, or settings of the environment that this program runs in, are not what is tested.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(('CSSA_', 'PYTHON'))}
    environment |= dict(OMP_NUM_THREADS='1', PATH=os.pathsep.join([str(python.parent), os.environ.get('PATH', '')]))
    done = run([python, '-m', 'pytest', '-q', *words], env=environment)
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ['no output']
    if done.returncode:
        print(done.stdout[-4000:] + done.stderr[-2000:])
    return Outcome(version, kind, 'failed' if done.returncode else 'passed', lines[-1].strip('= '))


def main(arguments: Sequence[str] | None = None, run: Call = call) -> int:
    """Test each Python and kind; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pythons', nargs='+', default=list(PYTHONS), metavar='VERSION')
    parser.add_argument('--kinds', nargs='+', default=list(KINDS), choices=KINDS)
    parser.add_argument('--folder', type=Path, help='where the environments are made; by default a temporary folder')
    parser.add_argument('--keep', action='store_true', help='keep the environments, in --folder')
    options, words = parser.parse_known_args(arguments)
    outcomes = []
    with tempfile.TemporaryDirectory() as temporary:
        for version in options.pythons:
            for kind in options.kinds:
                folder = (options.folder or Path(temporary)).absolute() / f'{version}-{kind}'
                outcomes.append(try_out(version, kind, folder, words or ['-m', 'smoke'], run))
                print(*outcomes[-1], sep='  ', flush=True)
                if not options.keep:
                    shutil.rmtree(folder, ignore_errors=True)
    missing = sorted({found.python for found in outcomes if found.result == 'not found'})
    if missing:
        print(f'not run: Python {", ".join(missing)}; this machine has no such interpreter')
    if len(missing) == len(set(options.pythons)):
        return 2
    return int(any(found.result in ('failed', 'not installed') for found in outcomes))


if __name__ == '__main__':
    sys.exit(main())
