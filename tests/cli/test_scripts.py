"""The shell scripts: their syntax, their own errors, and the environment that they make once."""

import shutil
import stat
from pathlib import Path

import pytest

pytestmark = pytest.mark.cli
ROOT = Path(__file__).parents[2]
SCRIPTS = [*sorted((ROOT / 'tools').glob('*.sh')), ROOT / '.ci' / 'run']


@pytest.mark.smoke
@pytest.mark.parametrize('path', SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_read_by_bash(path, run):
    assert run('bash', '-n', path).stderr == ''


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        (['dist_train.sh'], 'found 0 arguments, expected CONFIG PROCESSES'),
        (['dist_train.sh', 'configs/cssa_demo.py'], 'found 1 arguments, expected CONFIG PROCESSES'),
        (['dist_train.sh', 'configs/cssa_demo.py', 'two'], "number of processes: found 'two', expected a whole number"),
        (['dist_train.sh', 'configs/cssa_demo.py', '0'], "number of processes: found '0', expected a whole number"),
        (['dist_test.sh', 'configs/cssa_demo.py', '2'], 'found 2 arguments, expected CONFIG CHECKPOINT PROCESSES'),
        (['slurm_train.sh', 'gpu', 'name'], 'found 2 arguments, expected PARTITION JOB_NAME CONFIG WORK_DIR'),
    ],
)
def test_missing_or_wrong_arguments_end_in_one_line(command, message, run):
    done = run('bash', f'tools/{command[0]}', *command[1:])
    assert done.returncode == 2
    assert done.stderr.startswith(f'error: {message}')
    assert done.stderr.count('\n') == 1
    assert done.stdout == ''


def test_processes_are_told_the_number_of_the_torchrun_that_they_end_with(run, tmp_path):
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "$CSSA_PARENT $$"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    told, number = run('bash', 'tools/dist_train.sh', 'config', '2', PYTHON=str(python)).stdout.split()
    assert told == number


@pytest.fixture
def setting(tmp_path, run):
    """A copy of the scripts and requirements where installers only write down that they were called."""
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'requirements').mkdir()
    for source in (ROOT / 'tools' / 'environment.sh', *(ROOT / 'requirements').glob('*.txt'), ROOT / 'setup.py'):
        (tmp_path / source.relative_to(ROOT)).write_text(source.read_text())
    calls = tmp_path / 'calls.txt'
    uv, python = tmp_path / 'bin' / 'uv', tmp_path / 'venv' / 'bin' / 'python'
    for program in (uv, python):
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\necho "{program.name} $@" >>"{calls}"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def source(fails: bool = False, **variables) -> tuple[str, list[str]]:
        """Source environment.sh: the PYTHON that it sets, and how often something was installed."""
        calls.unlink(missing_ok=True)
        path = f'{uv.parent}:/usr/local/bin:/usr/bin:/bin'
        code = 'set -eo pipefail; source tools/environment.sh; echo "PYTHON=$PYTHON"'
        done = run('bash', '-c', f'cd "{tmp_path}" && {code}', PATH=path, CSSA_VENV=str(tmp_path / 'venv'), **variables)
        assert (done.returncode != 0) == fails, done.stderr
        lines = calls.read_text().splitlines() if calls.is_file() else []
        last = (done.stderr if fails else done.stdout).splitlines()[-1]
        return last, [line for line in lines if ' install ' in line]

    source.root, source.uv, source.python = tmp_path, uv, python
    return source


def test_an_environment_is_made_once_and_again_only_when_the_requirements_change(setting):
    last, installed = setting()
    assert last == f'PYTHON={setting.python}'
    assert len(installed) == 2  # requirements, then the package itself
    assert '-r ' in installed[0]
    assert '--no-deps' in installed[1]

    assert setting() == (f'PYTHON={setting.python}', [])

    with (setting.root / 'requirements' / 'base.txt').open('a') as file:
        file.write('another-package\n')
    assert len(setting()[1]) == 2
    assert setting()[1] == []


def test_a_failed_installation_leaves_no_stamp(setting):
    works = setting.uv.read_text()
    setting.uv.write_text('#!/bin/sh\nexit 1\n')
    last, _ = setting(fails=True)
    assert last == 'error: the installation failed; the messages above tell why'
    setting.uv.write_text(works)
    assert len(setting()[1]) == 2


def test_an_unknown_family_is_refused_in_one_line(setting):
    last, installed = setting(fails=True, FAMILY='openmm')
    assert last.startswith('error: FAMILY=openmm: found no ')
    assert last.endswith('expected openmmlab, onedl or lowest')
    assert installed == []


@pytest.mark.parametrize('status', [0, 100])
def test_continuous_integration_tests_with_or_without_chromium(tmp_path, run, status):
    """The scripts alone, where apt-get, the installer and pytest only say that they were called."""
    programs = {
        'bin/apt-get': f'[ "$1" = update ] || {{ echo no such package; touch "{tmp_path}/asked"; exit {status}; }}',
        'tools/docs.sh': ':',
        'tools/environment.sh': f'PYTHON={tmp_path}/bin/python',
        'bin/python': f'[ -e "{tmp_path}/asked" ] && echo tests "$@"',
    }
    programs |= {name: (ROOT / name).read_text() for name in ('.ci/run', 'tools/run_tests.sh')}
    for name, text in programs.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text if text.startswith('#!') else f'#!/bin/sh\n{text}\n')
        path.chmod(0o755)
    for name in ('bash', 'sh', 'dirname', 'mktemp', 'timeout', 'tail', 'touch'):
        (tmp_path / 'bin' / name).symlink_to(shutil.which(name))
    done = run('bash', tmp_path / '.ci' / 'run', PATH=f'{tmp_path}/bin')
    assert done.returncode == 0, done.stderr
    assert ('Chromium: apt-get failed: no such package\n' in done.stdout) == bool(status)
    assert done.stdout.count('No Chromium: the tests of pages in a browser skip') == 2
    assert done.stdout.count('tests -m pytest') == 2
