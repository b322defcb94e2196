"""`cssa COMMAND`: the list of commands, and what all commands have in common."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

import cssa
import cssa_mm
from cssa_mm.cli.arguments import command_parser, run
from cssa_mm.cli.main import COMMANDS, main
from cssa_mm.cli.main import module_of as name_of_module
from cssa_mm.errors import ConfigError, DataError

pytestmark = pytest.mark.cli
ROOT = Path(__file__).parents[2]
ALIASES = {
    'check_data': 'check',
    'make_split': 'split',
    'browse_data': 'browse',
    'make_demo_data': 'demo-data',
    'pretrain_demo_clip': 'demo-clip',
}
RESULT = SimpleNamespace(checkpoint=None)
# The arguments of mmpretrain's own tools, which users know.
TRAIN = ['--work-dir', '--resume', '--amp', '--no-validate', '--auto-scale-lr', '--no-pin-memory']
TRAIN += ['--no-persistent-workers', '--cfg-options', '--launcher', '--local_rank', '--local-rank']
TEST = ['--work-dir', '--out', '--dump', '--out-item', '--cfg-options', '--amp', '--show-dir', '--show', '--interval']
TEST += ['--wait-time', '--no-pin-memory', '--tta', '--launcher', '--local_rank', '--local-rank']


def module_of(command: str):
    return import_module(name_of_module(command))


def options_of(command: str) -> set[str]:
    return {option for action in module_of(command).parser()._actions for option in action.option_strings}


# -- the list --------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize('arguments', [['--help'], ['-h'], []])
def test_help_lists_every_command_with_one_line(capsys, arguments):
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, summary in COMMANDS.items():
        assert [line.split(maxsplit=1) for line in lines].count([name, summary]) == 1
    assert max(map(len, lines)) <= 100


@pytest.mark.smoke
@pytest.mark.parametrize('arguments', [['--help'], ['--version'], ['trian']])
def test_the_list_the_version_and_an_unknown_command_need_no_package(arguments):
    """Whatever is in the package is imported after the package itself, and with it torch."""
    code = 'import sys, cssa; cssa.main(sys.argv[1:]); print("loaded", *sys.modules)'
    words = [sys.executable, '-c', code, *arguments]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert 'cssa' in loaded
    assert {name.split('.')[0] for name in loaded} & {'cssa_mm', 'torch', 'mmengine', 'numpy'} == set()


def test_the_version_is_the_package_s(capsys):
    assert main(['--version']) == 0
    assert capsys.readouterr().out == f'cssa_mm {cssa_mm.__version__}\n'


@pytest.mark.parametrize(('name', 'hint'), [('trian', 'train'), ('linear_probe', 'linear-probe'), ('x', None)])
def test_an_unknown_command_names_the_nearest(capsys, name, hint):
    assert main([name, '--help']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: unknown command '{name}', expected one of quickstart, ")
    assert line.endswith(f", toolbox. Did you mean '{hint}'?" if hint else ', toolbox.')


def test_python_m_cssa_mm_is_the_same_command():
    environment = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    words = [sys.executable, '-m', 'cssa_mm', 'split', '--help']
    done = subprocess.run(words, cwd=ROOT / 'docs', env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('usage: cssa split ')


def test_the_console_script_of_the_package_runs_a_command(capsys):
    (entry,) = re.findall(r"'console_scripts': \['cssa = (\w+):(\w+)'\]", (ROOT / 'setup.py').read_text('utf-8'))
    assert entry == ('cssa', 'main')
    assert cssa.main(['toolbox', 'visualization/browse_data']) == 2
    assert "Did you mean 'visualization/browse_dataset'?" in capsys.readouterr().err


# -- each command ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('command', COMMANDS)
def test_a_command_has_a_module_a_tool_and_an_example_that_its_parser_takes(command):
    tool = ROOT / 'tools' / f'{command.replace("-", "_")}.py'
    assert f"\n    run('{command}')\n" in tool.read_text('utf-8')
    parser = module_of(command).parser()
    assert parser.prog == f'cssa {command}'
    first, *words = shlex.split(parser.epilog.removeprefix('example: '))
    assert (first, words[0]) == ('cssa', command)
    parser.parse_args(words[1:])


def test_no_module_and_no_tool_is_without_a_command():
    modules = {path.stem for path in (ROOT / 'cssa_mm' / 'cli').glob('*.py')}
    modules -= {'__init__', 'main', 'arguments', 'overrides'}
    assert modules == {name_of_module(name).split('.')[-1] for name in COMMANDS}
    tools = {path.stem for path in (ROOT / 'tools').glob('*.py')}
    assert tools - {'clone', 'launch'} - set(ALIASES) == {name.replace('-', '_') for name in COMMANDS}


@pytest.mark.parametrize('alias', ALIASES)
def test_a_former_name_of_a_tool_runs_the_command(alias):
    text = (ROOT / 'tools' / f'{alias}.py').read_text('utf-8')
    assert f"\n    run('{ALIASES[alias]}')\n" in text
    assert f'The former name of `{ALIASES[alias].replace("-", "_")}.py`' in text


@pytest.mark.parametrize('command', COMMANDS)
def test_help_of_a_command_shows_its_arguments_and_ends_with_the_example(capsys, command):
    with pytest.raises(SystemExit) as exited:
        main([command, '--help'])
    assert exited.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f'usage: cssa {command} ')
    assert f'example: cssa {command} ' in ' '.join(text.split())


@pytest.mark.parametrize(('command', 'arguments'), [('train', TRAIN), ('test', TEST)])
def test_train_and_test_take_the_arguments_of_mmpretrain_s_tools(command, arguments):
    own = {'-h', '--help', '--data-root', '--device', '--tower', '--labels', '--yes', '--tensorboard'}
    assert options_of(command) - own == set(arguments)


@pytest.mark.parametrize('command', ['train', 'test', 'linear-probe', 'pointing-game', 'explain'])
def test_commands_that_run_a_model_take_its_device(command):
    assert '--device' in options_of(command)


def test_a_tool_runs_the_clone_that_it_lies_in_whether_or_not_a_package_is_installed(tmp_path):
    """Of a clone that has two files only, and of a package that says nothing, the tool finds the clone's."""
    for name in ('tools/clone.py', 'tools/split.py', 'cssa.py', 'cssa_mm/cli/main.py'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text('utf-8'))
    (tmp_path / 'cssa_mm' / '__init__.py').write_text('')
    (tmp_path / 'cssa_mm' / 'cli' / '__init__.py').write_text('')
    (tmp_path / 'cssa_mm' / 'cli' / 'split.py').write_text('def main(arguments): print(__file__, *arguments); return 5')
    words = [sys.executable, '../tools/split.py', '--labelled', '0.1']
    (tmp_path / 'elsewhere').mkdir()
    done = subprocess.run(words, cwd=tmp_path / 'elsewhere', capture_output=True, text=True)
    assert done.stdout.split() == [str(tmp_path / 'cssa_mm' / 'cli' / 'split.py'), '--labelled', '0.1']
    assert done.returncode == 5


# -- how a command ends ----------------------------------------------------------------------------------------


@pytest.fixture
def ended(capsys):
    """ended(command) -> the exit status of a command, and what it wrote to stderr."""
    parser = command_parser('train', '', '')

    def call(command) -> tuple[int, str]:
        return run(parser, command, []), capsys.readouterr().err

    return call


def raises(error: BaseException):
    def command(_):
        raise error

    return command


def test_the_exit_status_is_what_the_command_returns(ended):
    assert ended(lambda options: None) == (0, '')
    assert ended(lambda options: 1) == (1, '')


def test_a_mistake_of_the_user_is_one_line_and_status_2(ended, monkeypatch):
    monkeypatch.delenv('CSSA_TRACEBACK', raising=False)
    assert ended(raises(ConfigError('config: found\n  nothing'))) == (2, 'error: config: found\\n  nothing\n')
    in_worker = 'Caught it in worker 0.\nTraceback (most recent call last):\n  File\nx.DataError: a.png: found: no'
    assert ended(raises(DataError(in_worker))) == (2, 'error: a.png: found: no\n')


def test_a_mistake_shows_its_traceback_where_it_is_asked_for(ended, monkeypatch):
    monkeypatch.setenv('CSSA_TRACEBACK', '1')
    with pytest.raises(ConfigError):
        ended(raises(ConfigError('config: found nothing')))


def test_ctrl_c_is_one_line_and_status_130(ended):
    assert ended(raises(KeyboardInterrupt())) == (130, 'error: interrupted\n')


def test_a_fault_of_the_program_is_no_mistake_of_the_user(ended):
    with pytest.raises(ZeroDivisionError):
        ended(raises(ZeroDivisionError()))


# -- what the arguments mean -----------------------------------------------------------------------------------


@pytest.fixture
def called(monkeypatch):
    """called('train', *arguments) -> the keyword arguments that the command hands to its function."""

    def call(command: str, *arguments: str) -> dict:
        calls = []
        monkeypatch.setattr(f'cssa_mm.cli.{command}.{command}', lambda **options: calls.append(options) or RESULT)
        monkeypatch.setenv('LOCAL_RANK', '')
        monkeypatch.delenv('LOCAL_RANK')
        assert main([command, *arguments]) == 0
        return calls[0]

    return call


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        ([], dict(resume=False, validate=True, pin_memory=True, persistent_workers=True, amp=False, device=None)),
        (['--resume'], dict(resume=True)),
        (['--resume', 'a.pth'], dict(resume='a.pth')),
        (['--no-validate', '--device', 'cpu'], dict(validate=False, device='cpu')),
        (['--no-pin-memory', '--no-persistent-workers'], dict(pin_memory=False, persistent_workers=False)),
        (['--amp', '--auto-scale-lr', '--launcher', 'pytorch'], dict(amp=True, auto_scale_lr=True, launcher='pytorch')),
        (['--cfg-options', 'a.b=1', 'c=[x,y]'], dict(overrides={'a.b': 1, 'c': ['x', 'y']})),
        (['--data-root', 'd', '--work-dir', 'w'], dict(data_root='d', work_dir='w')),
        (['--tower', 'ViT-B-32:w.pt'], dict(tower='ViT-B-32:w.pt', tensorboard=False)),
        (['--tensorboard'], dict(tensorboard=True)),
    ],
)
def test_train_hands_on_what_it_is_told(called, arguments, expected):
    found = called('train', 'c.py', *arguments)
    assert found['config'] == 'c.py'
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(('checkpoint', 'expected'), [('none', None), ('a.pth', 'a.pth')])
def test_test_hands_on_what_it_is_told(called, checkpoint, expected):
    found = called('test', 'c.py', checkpoint, '--out', 'o.json', '--out-item', 'metrics', '--show-dir', 's')
    assert (found['config'], found['checkpoint']) == ('c.py', expected)
    assert (found['out'], found['out_item'], found['show_dir'], found['show']) == ('o.json', 'metrics', 's', False)
    assert (found['interval'], found['wait_time'], found['pin_memory']) == (1, 2, True)


@pytest.mark.parametrize(('before', 'expected'), [(None, '3'), ('1', '1')])
def test_the_local_rank_of_older_launchers_reaches_mmengine(monkeypatch, before, expected):
    monkeypatch.setenv('LOCAL_RANK', before or '')
    if before is None:
        monkeypatch.delenv('LOCAL_RANK')
    monkeypatch.setattr('cssa_mm.cli.train.train', lambda **options: RESULT)
    assert main(['train', 'c.py', '--local-rank', '3']) == 0
    assert os.environ['LOCAL_RANK'] == expected


@pytest.mark.parametrize('given', [True, False])
def test_test_time_augmentation_is_handed_on(called, given):
    assert called('test', 'c.py', 'none', *(['--tta'] if given else []))['tta'] is given


def test_a_study_computes_with_one_thread_unless_told_otherwise(monkeypatch):
    """Oracle: the environment at the moment when the module of the command is imported."""
    code = (
        'import os, sys, runpy\n'
        'main = runpy.run_path("cssa_mm/cli/main.py")["main"]\n'
        'show = lambda name: print(name, os.environ.get("OMP_NUM_THREADS")) or sys.exit()\n'
        'main.__globals__["import_module"] = show\n'
        'main(sys.argv[1:])\n'
    )
    environment = {key: value for key, value in os.environ.items() if key != 'OMP_NUM_THREADS'}
    for command, set_by_user, expected in (
        ('study', {}, '1'),
        ('train', {}, 'None'),
        ('study', {'OMP_NUM_THREADS': '3'}, '3'),
    ):
        words = [sys.executable, '-c', code, command]
        done = subprocess.run(words, cwd=ROOT, env=environment | set_by_user, capture_output=True, text=True)
        assert done.stdout.split() == [f'cssa_mm.cli.{command}', expected]
