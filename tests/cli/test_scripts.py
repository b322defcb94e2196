"""The shell scripts: their syntax, their own errors, and the environment that they make once."""

import shutil
import socket
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


@pytest.mark.parametrize(
    ('variables', 'arguments', 'message'),
    [
        (
            dict(MAX_RESTARTS='2'),
            [],
            'MAX_RESTARTS: found 2 without --resume, expected both, or each restart would begin anew; add --resume',
        ),
        (dict(MAX_RESTARTS='two'), ['--resume'], "MAX_RESTARTS: found 'two', expected a whole number from 0"),
        (dict(PORT='web'), [], "PORT: found 'web', expected a whole number from 1 to 65535"),
        (dict(PORT='65536'), [], "PORT: found '65536', expected a whole number from 1 to 65535"),
        (
            dict(PORT='USED'),
            [],
            'PORT: found USED, on which this machine cannot listen (Address already in use); leave PORT out, and a '
            'free one is chosen',
        ),
        (
            dict(PORT='USED', NNODES='2'),
            [],
            'PORT: found USED, on which this machine cannot listen (Address already in use); give another one on all '
            'machines',
        ),
    ],
)
def test_a_wrong_start_of_several_processes_is_one_line_before_any_of_them(variables, arguments, message, run):
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        given = {name: value.replace('USED', port) for name, value in variables.items()}
        done = run('bash', 'tools/dist_train.sh', 'cssa_demo', 2, *arguments, **given)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr == f'error: {message.replace("USED", port)}\n'


@pytest.fixture
def killed(run, tmp_path):
    """killed(options, **variables) -> two processes started by the launcher: one is killed, the other waits for ever.

    They have been told the number of the launcher, with which they end.

    In a second attempt both end well.
    """
    for name in ('torchrun.sh', 'launch.py'):
        (tmp_path / name).write_bytes((ROOT / 'tools' / name).read_bytes())
    (tmp_path / 'train.py').write_text(
        "import os, signal, sys, time\nassert os.environ['CSSA_PARENT'] == str(os.getppid())\n"
        "if os.environ['TORCHELASTIC_RESTART_COUNT'] == '0':\n"
        "    if os.environ['RANK'] == '1':\n        os.kill(os.getpid(), signal.SIGKILL)\n    time.sleep(600)\n"
        "print(f'ended {os.environ[\"RANK\"]}\\n', end='')\n"
    )
    return lambda *options, **variables: run('bash', tmp_path / 'torchrun.sh', 'train.py', 2, *options, **variables)


def test_a_process_that_dies_before_the_others_meet_it_is_one_line(killed):
    done = killed()
    assert done.returncode == 128 + 9
    assert done.stderr == 'error: process 1 of the training or test was ended by SIGKILL; the others were stopped\n'


def test_processes_are_started_again_after_a_kill(killed):
    done = killed('--resume', MAX_RESTARTS='1')
    assert (done.returncode, done.stderr) == (0, '')
    assert sorted(done.stdout.split('\n')) == ['', 'ended 0', 'ended 1']


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
