"""Optimisers that cannot work are refused in one line; rates are scaled by the images of a step."""

import pytest
import torch

from cssa_mm.engine.config.optimiser import scale_rates
from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

OPTIMISER = 'optim_wrapper.optimizer'


@pytest.fixture(autouse=True)
def unformatted(monkeypatch):
    """The runner formats its config three times, which takes seconds and changes nothing."""
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True), raising=False)


def one_line(error) -> str:
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'optim_wrapper': None}, 'optim_wrapper: found none beside train_cfg, expected an optimiser'),
        ({'optim_wrapper.accumulative_counts': 0}, 'accumulative_counts: found 0, expected a whole number from 1'),
        ({OPTIMISER: None}, 'optim_wrapper.optimizer: found None, expected a dict .such as dict.type='),
        ({OPTIMISER: dict(lr=0.1, _delete_=True)}, "optimizer: found {'lr': 0.1}, expected a dict with its type"),
        ({OPTIMISER: dict(type='LBFGS', lr=0.1, _delete_=True)}, 'found LBFGS, which computes a step several times'),
        ({'optim_wrapper.constructor': 'LearningRateDecayOptimWrapperConstructor'}, 'decay by layers of the backbone'),
        ({'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.75}, 'decay by layers of the backbone'),
        ({'optim_wrapper.clip_grad': 1.0}, 'clip_grad: found 1.0, expected a dict .such as dict.max_norm=1.0'),
        ({'optim_wrapper.clip_grad': dict(type='nrom', max_norm=1)}, "clip_grad: found .*'nrom'"),
        ({'optim_wrapper.clip_grad': dict(max_nrom=1)}, "unknown key 'max_nrom', .* Did you mean 'max_norm'"),
        ({'optim_wrapper.clip_grad': dict(norm_type=2)}, 'clip_grad.max_norm: found none, expected a number above 0'),
        ({'optim_wrapper.clip_grad': dict(type='value', clip_value='1')}, "clip_grad.clip_value: found '1'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_built(tiny_config, options, message):
    with pytest.raises(ConfigError, match=message) as error:
        prepare_config(tiny_config(**options))
    one_line(error)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {f'{OPTIMISER}.foreach': True, f'{OPTIMISER}.fused': True},
            'optim_wrapper: found options that build no optimiser',
        ),
        ({'optim_wrapper.type': 'ApexOptimWrapper'}, 'optim_wrapper: found options that build no optimiser .*apex'),
        (
            {'optim_wrapper.type': 'AmpOptimWrapper'},
            'found AmpOptimWrapper, mixed precision, on a machine without CUDA',
        ),
    ],
)
def test_what_cannot_be_built_is_refused_before_the_first_step(tiny_config, options, message):
    if torch.cuda.is_available() and 'CUDA' in message:
        pytest.skip('this machine has CUDA')
    runner = CSSARunner.from_cfg(tiny_config(**options))
    with pytest.raises(ConfigError, match=message) as error:
        runner.build_optim_wrapper(runner.optim_wrapper)
    one_line(error)


@pytest.mark.parametrize('base', [None, 0, '64', True])
def test_the_batch_that_a_rate_is_meant_for_is_a_number(tiny_config, base):
    options = {'auto_scale_lr': dict(enable=True) if base is None else dict(enable=True, base_batch_size=base)}
    with pytest.raises(ConfigError, match='^auto_scale_lr.base_batch_size: found .*, expected .*images of a step that'):
        CSSARunner.from_cfg(tiny_config(**options)).train()


def test_whether_rates_are_scaled_is_a_truth_value(tiny_config):
    with pytest.raises(ConfigError, match="^auto_scale_lr.enable: found 'False', expected True or False"):
        prepare_config(tiny_config(auto_scale_lr=dict(enable='False', base_batch_size=16)))


@pytest.mark.parametrize(('parts', 'factor'), [(1, 0.5), (2, 1.0)])
def test_rates_are_scaled_by_the_images_of_a_step(tiny_config, parts, factor):
    """All groups, and the rate in the log; 8 images a batch."""
    options = {'optim_wrapper.accumulative_counts': parts, f'{OPTIMISER}.lr': 0.01}
    runner = CSSARunner.from_cfg(tiny_config(**options))
    plain = runner.build_optim_wrapper(runner.cfg.optim_wrapper).get_lr()
    optimiser = runner.build_optim_wrapper(runner.optim_wrapper)
    scale_rates(optimiser, dict(base_batch_size=16), 8)
    assert optimiser.get_lr() == plain  # not enabled
    runner.scale_lr(optimiser, dict(enable=True, base_batch_size=16))
    scaled = optimiser.get_lr()
    assert set(scaled) == {'lr', 'base_lr'}
    for name, rates in scaled.items():
        assert rates == pytest.approx([factor * rate for rate in plain[name]])


TWO_RANKS = """
import sys
from mmengine.config import Config
from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.runner import CSSARunner
runner = CSSARunner.from_cfg(Config.fromfile(sys.argv[1]))
assert runner.world_size == 2
optimiser = runner.build_optim_wrapper(runner.optim_wrapper)
runner.scale_lr(optimiser, runner.auto_scale_lr)
assert optimiser.get_lr()['base_lr'] == [0.005], optimiser.get_lr()
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='where there is CUDA, each process has a GPU of its own')
def test_the_number_of_processes_scales_no_rate(tiny_config, two_ranks, tmp_path):
    options = {'auto_scale_lr': dict(enable=True, base_batch_size=16), f'{OPTIMISER}.lr': 0.01}
    tiny_config(**options, launcher='pytorch', work_dir=str(tmp_path)).dump(tmp_path / 'config.py')
    two_ranks(TWO_RANKS, tmp_path / 'config.py')
