"""Our runner, from our own programs and from mmpretrain's."""

import pytest
import torch
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from cssa_mm.datasets.view import View
from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.runner import CSSARunner, checked_device
from cssa_mm.errors import ConfigError

HOOKS = {
    'BadImageHook',
    'CSSACheckpointHook',
    'GuardHook',
    'IterTimerHook',
    'PlainCheckpointHook',
    'PseudoLabelHook',
    'StepLoggerHook',
    'StepSchedulerHook',
    'LabelPictureHook',
}


def test_mmpretrain_s_own_tools_build_our_runner_and_it_trains(tiny_config):
    """They call `RUNNERS.build` where a config names a `runner_type`."""
    config = tiny_config(**{'view.size': 48, 'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 1})
    assert config.runner_type == 'CSSARunner'
    runner = RUNNERS.build(config)
    assert type(runner) is CSSARunner
    assert runner.model.view == View(size=48)
    runner.train()
    assert runner.iter == 2


def test_mmpretrain_s_own_tools_check_the_keys_before_anything_is_built(tiny_config, tmp_path):
    config = tiny_config(**{'model.unlabelled_wieght': 1.0})
    with pytest.raises(ConfigError, match="Did you mean 'unlabelled_weight'"):
        RUNNERS.build(config)
    assert not (tmp_path / 'run').exists()


def test_a_pipeline_that_contradicts_the_view_is_refused_before_anything_is_built(tiny_config, tmp_path):
    config = tiny_config()
    config.test_dataloader.dataset.pipeline = [dict(type='View', size=48), *config.test_dataloader.dataset.pipeline[1:]]
    with pytest.raises(ConfigError, match='^test_dataloader.dataset.pipeline: found View'):
        CSSARunner.from_cfg(config)
    assert not (tmp_path / 'run').exists()


def test_workers_that_are_not_there_are_not_kept(tiny_config):
    config = tiny_config(**{'train_dataloader.num_workers': 2})
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        config[name].persistent_workers = True
    config.test_dataloader = None
    prepare_config(config)
    assert config.train_dataloader.persistent_workers
    assert not config.val_dataloader.persistent_workers


def test_a_config_that_is_prepared_stays_as_it_is(tiny_config):
    config = prepare_config(tiny_config(**{'view.size': 48}))
    before = config.to_dict()
    assert prepare_config(config) is config
    assert config.to_dict() == before


def test_all_hooks_of_the_config_are_registered(tiny_config):
    runner = CSSARunner.from_cfg(tiny_config())
    assert {type(hook).__name__ for hook in runner.hooks} >= HOOKS


@pytest.mark.parametrize('name', ['sampler_seed', 'timer', 'guard', 'bad_images', 'visualization'])
def test_any_hook_can_be_taken_away(tiny_config, name):
    hooks = {type(hook) for hook in CSSARunner.from_cfg(tiny_config()).hooks}
    left = {type(hook) for hook in CSSARunner.from_cfg(tiny_config(**{f'default_hooks.{name}': None})).hooks}
    assert left < hooks
    assert len(hooks - left) == 1


def test_the_device_of_the_config_is_that_of_the_model(tiny_config, monkeypatch):
    moved = []
    monkeypatch.setattr(Runner, 'wrap_model', lambda self, wrapper, model: moved.append('default') or model)
    runner = CSSARunner.from_cfg(tiny_config(device='cpu'))
    assert runner.model.head.bias.device == torch.device('cpu')
    assert moved == []
    CSSARunner.from_cfg(tiny_config())
    assert moved == ['default']


def test_a_device_has_no_place_in_a_distributed_run(tiny_config):
    runner = CSSARunner.__new__(CSSARunner)
    runner.cfg, runner._distributed = tiny_config(device='cpu'), True
    with pytest.raises(ConfigError, match="^device: found 'cpu' in a distributed run.*leave it out$"):
        runner.wrap_model(None, None)


def test_a_device_that_is_unknown_or_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: False)
    assert checked_device(None) == checked_device('cpu') == torch.device('cpu')
    with pytest.raises(ConfigError, match="^device: found 'gpu', expected one of cpu, cuda, mps$"):
        checked_device('gpu')
    with pytest.raises(ConfigError, match="^device: found 'cuda:1', which this machine lacks, expected one of cpu$"):
        checked_device('cuda:1')
    with pytest.raises(ConfigError, match="found 'cpu:x'"):
        checked_device('cpu:x')


@pytest.mark.parametrize(('cuda', 'mps', 'expected'), [(True, True, 'cuda'), (False, True, 'mps')])
def test_the_best_device_is_the_default(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: mps)
    assert checked_device(None) == torch.device(expected)
    assert checked_device('cpu') == torch.device('cpu')


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='where there is CUDA, each process has a GPU of its own')
def test_a_process_of_several_can_do_a_second_run(two_ranks, tiny_config, tmp_path):
    """The group of the first run is there already."""
    tiny_config(launcher='pytorch', work_dir=str(tmp_path)).dump(tmp_path / 'config.py')
    two_ranks(
        'import sys\n'
        'from mmengine.config import Config\n'
        'from cssa_mm.engine.runner import CSSARunner\n'
        'runner = CSSARunner.from_cfg(Config.fromfile(sys.argv[1]))\n'
        'assert runner.distributed and runner.world_size == 2\n',
        tmp_path / 'config.py',
    )
