"""Wrong values are refused before anything is built, whatever component takes them."""

import copy

import pytest
from mmengine.config import Config

from cssa_mm import load_config
from cssa_mm.engine.config.component_values import check_component_values, check_sections
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError
from cssa_mm.files import shipped_config

NAN = float('nan')


@pytest.fixture(scope='module')
def base() -> Config:
    return Config.fromfile(shipped_config('cssa_plus_coco_p05'))


@pytest.mark.parametrize(
    ('key', 'value', 'expected'),
    [
        ('model', None, 'a dict'),
        ('model.unlabelled_weight', NAN, 'a number from 0'),
        ('model.head.temperature', 0, 'a number above 0'),
        ('model.head.score', 'sigmoit', "'sigmoid', .* Did you mean 'sigmoid'"),
        ('model.head.prompts.num_context', 10**12, 'a whole number from 0 to 1000'),
        ('model.head.centring.weight', 'car', "'auto' or a number"),
        ('model.ema.decay', -1, 'a number from 0 to 1'),
        ('model.evidence.anchor', 'half', 'a number from 0 to 1'),
        ('model.neighbours.k', 2.0, 'a whole number from 1'),
        ('model.backbone.model_name', 50, 'text'),
        ('view.size', [0, 224], 'a whole number'),
        ('randomness.seed', -1, 'a whole number from 0'),
        ('randomness.deterministic', 'yes', 'True or False'),
        ('train_dataloader.batch_size', 0, 'a whole number from 1'),
        ('train_dataloader.num_workers', 10**12, 'a whole number from 0 to 1024'),
        ('train_dataloader.dataset.split.proportion', NAN, 'a number'),
        ('train_dataloader.sampler.labelled_per_batch', '4', 'a whole number'),
        ('optim_wrapper.optimizer.lr', 'fast', 'a number from 0'),
        ('optim_wrapper.optimizer.lr', NAN, 'a number from 0'),
        ('optim_wrapper.optimizer.weight_decay', -1, 'a number from 0'),
        ('optim_wrapper.optimizer.betas', 0.9, 'a list of 2'),
        ('optim_wrapper.optimizer.betas', (0.9, 1.0), 'below 1'),
        ('optim_wrapper.paramwise_cfg.custom_keys', {'head.bias': {'lr_mult': 'x'}}, 'a dict'),
        ('default_hooks.checkpoint.interval', 0, '-1 or a whole number from 1'),
        ('default_hooks.checkpoint.max_keep_ckpts', 0, '-1 or a whole number from 1'),
        ('default_hooks.logger.interval', None, 'a whole number from 1'),
        ('default_hooks.pseudo_labels.policy.eta_negative', '1', 'a number from 0'),
        ('default_hooks.pseudo_labels.evidence_seed', 2**32, 'a whole number from 0 to'),
        ('default_hooks.calibration.folds', 1, '0 or a whole number from 2'),
        ('log_level', 'LOUD', "'DEBUG'"),
        ('log_processor.window_size', 0, 'a whole number from 1'),
        ('launcher', 'torchrun', "'none', 'pytorch'"),
        ('report', 'no', 'True or False'),
        ('work_dir', 'caf\udce9', 'text or None; its name is no UTF-8'),
        ('train_cfg.val_interval', 0, 'a whole number from 1'),
        ('custom_hooks', [[dict(type='EmptyCacheHook')]], 'a hook such as'),
        ('train_dataloader.dataset.pipeline', [], 'such as'),
        ('val_dataloader.dataset.pipeline', [], 'such as'),
    ],
)
def test_a_wrong_value_is_one_line(base, key, value, expected):
    with pytest.raises(ConfigError, match=f'^{key}.*: found .*, expected .*{expected}') as error:
        load_config(base, overrides={key: value})
    assert '\n' not in str(error.value)


def test_a_key_that_a_component_needs_is_missed_before_it_is_built(base):
    config = copy.deepcopy(base)
    del config.view['size']
    with pytest.raises(ConfigError, match='view.size: found none, expected a whole number'):
        load_config(config)
    with pytest.raises(ConfigError, match='policy.k: found none, expected a whole number from 1'):
        load_config(base, overrides={'default_hooks.pseudo_labels.policy': dict(_delete_=True, name='top_k')})


def test_the_place_in_a_list_is_named_as_overrides_write_it(base):
    hooks = [dict(type='EmptyCacheHook'), dict(type='CheckpointHook', interval='x')]
    with pytest.raises(ConfigError, match=r"^custom_hooks\.1\.interval: found 'x'"):
        load_config(base, overrides={'custom_hooks': hooks})


def test_a_split_of_a_joined_data_set_is_checked_too(base):
    part = dict(type='COCOMultiLabelDataset', split=dict(proportion='x'))
    joined = dict(_delete_=True, type='ConcatDataset', datasets=[part])
    with pytest.raises(ConfigError, match=r"^train_dataloader\.dataset\.datasets\.0\.split\.proportion: found 'x'"):
        load_config(base, overrides={'train_dataloader.dataset': joined})


def test_mmpretrain_s_own_tools_are_told_before_anything_is_built(tiny_config, monkeypatch):
    monkeypatch.setattr('mmengine.runner.Runner.from_cfg', lambda *given: pytest.fail('it is built'))
    with pytest.raises(ConfigError, match=r"^model\.head\.bias: found 'yes', expected True or False"):
        CSSARunner.from_cfg(tiny_config(**{'model.head.bias': 'yes'}))


def test_components_of_the_user_s_own_are_left_alone():
    check_component_values({'custom_hooks': [dict(type='Unknown', interval='x')], 'model': {'view': None}})
    check_sections({'model': None})


def test_a_number_is_the_text_of_its_digits_in_a_data_set(base):
    load_config(base, overrides={'train_dataloader.dataset.img_dir': 2014})
