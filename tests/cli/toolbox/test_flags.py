"""Flags of the toolbox's train.py and test.py, and the config keys about how a run goes."""

import pytest

import cssa_mm
from cssa_mm.cli import test as testing
from cssa_mm.cli import train as training
from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.errors import ConfigError

AREA = 'Loops and flags'
FLAGS = (
    '--work-dir w --resume --amp --no-validate --auto-scale-lr --no-pin-memory --no-persistent-workers '
    '--launcher slurm --local-rank 1 --cfg-options a.b=1'
)
TEST_FLAGS = (
    '--work-dir w --out o.pkl --out-item pred --cfg-options a.b=1 --amp --show-dir s --show --interval 2 --wait-time 1 '
    '--no-pin-memory --tta --launcher mpi --local_rank 1'
)


def row(feature, verdict, meaning):
    return pytest.mark.toolbox(AREA, feature, verdict, meaning)


@row('flags of `train.py`', 'works', f'`{FLAGS}`'.replace(' --', '`, `--'))
def test_flags_of_train():
    found = vars(training.parser().parse_args(['cssa_demo', *FLAGS.split()]))
    assert (found['resume'], found['launcher'], found['local_rank'], found['cfg_options']) == (
        'auto',
        'slurm',
        1,
        {'a.b': 1},
    )


@row('flags of `test.py`', 'works', f'`{TEST_FLAGS}`'.replace(' --', '`, `--'))
def test_flags_of_test():
    found = vars(testing.parser().parse_args(['cssa_demo', 'none', *TEST_FLAGS.split()]))
    assert (found['tta'], found['interval'], found['show_dir'], found['launcher']) == (True, 2, 's', 'mpi')


@pytest.mark.parametrize(
    ('flag', 'instead'),
    [
        pytest.param('--seed 3', 'randomness.seed=N', marks=row('`--seed`', 'refused', '`randomness.seed=N`')),
        pytest.param(
            '--deterministic',
            'randomness.deterministic=True',
            marks=row('`--deterministic`', 'refused', '`randomness.deterministic=True`'),
        ),
        pytest.param(
            '--gpu-ids 0',
            'CUDA_VISIBLE_DEVICES=N',
            marks=row('`--gpu-id`, `--gpu-ids`', 'refused', '`CUDA_VISIBLE_DEVICES`'),
        ),
        ('--resume-from=x.pth', '--resume PATH'),
    ],
)
def test_flags_of_earlier_versions(flag, instead, capsys):
    with pytest.raises(SystemExit) as end:
        training.parser().parse_args(['cssa_demo', *flag.split()])
    assert end.value.code == 2
    assert instead in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ('overrides', 'message'),
    [
        pytest.param(
            {'randomness.seed': 'abc'},
            "randomness.seed: found 'abc', expected a whole number",
            marks=row('`randomness.seed`', 'works', 'a whole number, or None for a random one'),
        ),
        ({'randomness.seed': -1}, 'randomness.seed: found -1'),
        pytest.param(
            {'randomness.deterministic': 'yes'},
            "randomness.deterministic: found 'yes', expected True or False",
            marks=row('`randomness.deterministic`, `env_cfg.cudnn_benchmark`', 'works', 'True or False'),
        ),
        pytest.param(
            {'log_level': 'DEBUGG'},
            r"log_level: found 'DEBUGG', expected .* Did you mean 'DEBUG'\?",
            marks=row('`log_level`', 'works', 'a name such as `DEBUG`, or a number'),
        ),
        pytest.param(
            {'default_hooks.logger.interval': 0},
            'default_hooks.logger.interval: found 0, expected a whole number from 1',
            marks=row('`default_hooks.logger.interval`', 'works', 'in steps, from 1'),
        ),
        ({'log_processor.window_size': 'global'}, "log_processor.window_size: found 'global'"),
        pytest.param(
            {'default_scope': 'mmdet'},
            "default_scope: found 'mmdet', expected 'mmpretrain'",
            marks=row('`default_scope`', 'refused', 'other scopes than `mmpretrain`'),
        ),
        ({'env_cfg.mp_cfg.mp_start_method': 'forks'}, "mp_start_method: found 'forks', expected 'fork', 'spawn'"),
        ({'launcher': 'dask'}, "launcher: found 'dask', expected 'none', 'pytorch', 'slurm', 'mpi'"),
        pytest.param(
            {'seed': 3},
            r"unknown key 'seed', .* It is randomness.seed now",
            marks=row(
                'keys of mmcls 0.x (`seed`, `optimizer`, `lr_config`, `data`)', 'refused', 'with the present key'
            ),
        ),
        ({'lr_config': {}}, 'It is param_scheduler now'),
        pytest.param(
            {'vis_backends': [{'type': 'TensorboardVisBackend'}]},
            'vis_backends: found .*, which nothing reads, expected it in the visualizer',
            marks=row('`vis_backends` at the top level', 'refused', 'unless `visualizer.vis_backends` says the same'),
        ),
        pytest.param(
            {'compile': 'yes'},
            "compile: found 'yes', expected True, False or a dict",
            marks=row(
                '`compile=True`, `compile=dict(...)`', 'works', 'for the frozen tower; one line without compiler'
            ),
        ),
        ({'compile': {'modee': 'default'}}, r"unknown key 'compile.modee', .*Did you mean 'mode'\?"),
    ],
)
def test_values_that_mmengine_would_stumble_over(tiny_config, overrides, message):
    config = tiny_config()
    for key, value in overrides.items():
        config.merge_from_dict({key: value})
    with pytest.raises(ConfigError, match=message) as error:
        prepare_config(config)
    assert '\n' not in str(error.value)


@row('`experiment_name`, `log_processor.by_epoch`, `work_dir`', 'works', 'as in the toolbox')
def test_values_that_are_taken(tiny_config):
    given = {'experiment_name': 'mine', 'log_processor.by_epoch': False, 'log_level': 10, 'randomness.seed': None}
    found = prepare_config(tiny_config(**given | {'vis_backends': [dict(type='LocalVisBackend')], 'compile': False}))
    assert found.log_processor.by_epoch is False


@row('`load_from` with an address', 'works', 'is fetched; one line where it cannot be')
def test_an_address_to_load_from(tiny_config, tmp_path):
    with pytest.raises(cssa_mm.errors.CheckpointError, match=r"cannot fetch 'http://127.0.0.1:9/none.pth'"):
        cssa_mm.train(config=tiny_config(load_from='http://127.0.0.1:9/none.pth'), work_dir=tmp_path, device='cpu')


@pytest.mark.parametrize(('launcher', 'variable'), [('pytorch', 'RANK'), ('mpi', 'OMPI_COMM_WORLD_RANK')])
@row('`--launcher`', 'works', 'a launcher that has not started the process is refused')
def test_a_launcher_that_has_not_started_the_process(tiny_config, monkeypatch, launcher, variable):
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match=f"launcher: found '{launcher}' without {variable} in the environment"):
        prepare_config(tiny_config(launcher=launcher))
