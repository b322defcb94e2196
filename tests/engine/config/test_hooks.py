"""Hooks that would do harm are refused by name; the others get the rule that their metric implies."""

import pytest
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook

from cssa_mm.engine.config.hooks import check_hooks
from cssa_mm.errors import ConfigError


class UsersEMA(EMAHook):
    pass


class UsersHook(Hook):
    pass


def checkpoint(**options):
    return Config(dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', **options))))


def custom(*hooks):
    return Config(dict(custom_hooks=list(hooks)))


@pytest.mark.smoke
@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (custom(dict(type='EMAHook', momentum=1e-4)), r'custom_hooks\[0\]: found EMAHook, .* model.ema='),
        (custom(dict(type='mmengine.EMAHook')), r'custom_hooks\[0\]: found EMAHook, .* model.ema='),
        (custom(dict(type=UsersHook), dict(type=UsersEMA)), r'custom_hooks\[1\]: found UsersEMA'),
        (Config(dict(default_hooks=dict(ema=dict(type='EMAHook')))), 'default_hooks.ema: found EMAHook'),
        (custom(dict(type='PreciseBNHook')), 'no batch norm is trained'),
        (custom(dict(type='SyncBuffersHook')), 'found SyncBuffersHook'),
        (custom(dict(type='SwitchRecipeHook', schedule=[])), 'found SwitchRecipeHook'),
        (custom(dict(type='ClassNumCheckHook')), 'found ClassNumCheckHook'),
        (custom(dict(type='SimSiamHook')), 'it belongs to SimSiam'),
        (custom(dict(type='EarlyStoppingHook')), r'custom_hooks\[0\].monitor: found None, expected the name'),
        (custom(dict(type='EarlyStoppingHook', monitor='mine/error')), 'rule: found none'),
        (Config(dict(custom_hooks=dict(type='EMAHook'))), 'custom_hooks: found .*, expected a list'),
        (checkpoint(save_best=3), 'default_hooks.checkpoint.save_best: found 3'),
        (checkpoint(save_best=['auto', 'ema/mAP']), "found 'auto' among 2 names"),
        (checkpoint(save_best=['ema/mAP', 'ema/mAP']), 'found a name twice'),
        (checkpoint(save_best='ema/mAP', rule='max'), "checkpoint.rule: found 'max', expected 'greater' or 'less'"),
        (checkpoint(save_best=['a', 'b', 'c'], rule=['less', 'less']), 'checkpoint.rule: found'),
        (checkpoint(save_best='mine/error'), "checkpoint.rule: found none for 'mine/error'"),
        (checkpoint(published_keys=['meta']), "published_keys: found .*, expected 'state_dict' among them"),
    ],
)
def test_what_would_do_harm_or_end_in_a_traceback_is_refused_in_one_line(config, message):
    with pytest.raises(ConfigError, match=message) as error:
        check_hooks(config)
    assert '\n' not in str(error.value)


def test_rules_are_filled_in_and_stay_where_they_are_given():
    def rule_of(**options):
        config = checkpoint(**options)
        check_hooks(config)
        return config.default_hooks.checkpoint.get('rule')

    assert rule_of(save_best='ema/CF1') == 'greater'
    assert rule_of(save_best=['ema/ECE', 'ema/AP/blossom']) == ['less', 'greater']
    assert rule_of(save_best='mine/error', rule='less') == 'less'
    assert rule_of(save_best='mine/error', less_keys=['mine/error']) is None
    assert rule_of(save_best='auto') is None
    assert rule_of() is None
    config = custom(dict(type='EarlyStoppingHook', monitor='multi-label/f1-score'), UsersHook())
    check_hooks(config)
    assert config.custom_hooks[0].rule == 'greater'


def test_a_name_without_a_rule_may_be_a_misspelt_one():
    with pytest.raises(
        ConfigError, match=r"rule: found none for 'multi-label/f1_score'.*Did you mean 'multi-label/f1-score'\?"
    ):
        check_hooks(checkpoint(save_best='multi-label/f1_score'))
