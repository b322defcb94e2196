"""Hooks in `custom_hooks`."""

import pytest
from mmengine.hooks import Hook
from mmpretrain.registry import HOOKS

from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

TRACE = dict(type='ProfilerHook', by_epoch=False, profile_times=1, on_trace_ready=dict(type='log_trace'))


@HOOKS.register_module()
class UsersHook(Hook):
    seen: list = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        UsersHook.seen.append(outputs['loss'].item())


@pytest.mark.toolbox('Hooks', 'a hook of your own', 'works', 'it sees batches, outputs and metrics as in mmpretrain')
@pytest.mark.toolbox('Hooks', '`ProfilerHook`', 'works', '')
def test_a_hook_of_the_user_runs(tiny_config):
    UsersHook.seen = []
    quick = {'train_cfg.semi_epochs': 0, 'default_hooks.calibration': None}
    nothing = dict.fromkeys(('val_cfg', 'val_dataloader', 'val_evaluator'))
    runner = CSSARunner.from_cfg(tiny_config(custom_hooks=[dict(type='UsersHook'), TRACE], **quick, **nothing))
    runner.train()
    assert len(UsersHook.seen) == runner.iter == 2
    assert min(UsersHook.seen) > 0


@pytest.mark.parametrize(
    ('hook', 'message'),
    [
        pytest.param(
            dict(type=name, **options),
            rf'custom_hooks\[0\]: found {name}, expected none: .*{reason}',
            marks=pytest.mark.toolbox('Hooks', feature, verdict, note),
            id=name,
        )
        for name, options, reason, feature, verdict, note in [
            ('EMAHook', {}, 'model.ema=', '`EMAHook`', 'refused', 'the teacher is the average: `model.ema`'),
            (
                'SwitchRecipeHook',
                dict(schedule=[]),
                'train twice',
                '`SwitchRecipeHook`',
                'refused',
                'train twice, the second time with `load_from`',
            ),
            ('PreciseBNHook', {}, 'frozen', '`PreciseBNHook`', 'not meant', 'the tower is frozen'),
            (
                'SyncBuffersHook',
                {},
                'same on every',
                '`SyncBuffersHook`',
                'not meant',
                'buffers are the same on every rank',
            ),
            (
                'ClassNumCheckHook',
                {},
                'anyway',
                '`ClassNumCheckHook`',
                'not meant',
                'names and order are compared anyway',
            ),
            (
                'WarmupParamHook',
                dict(param_name='a', module_name='b', warmup_epochs=1),
                'epochs of one length',
                '`WarmupParamHook`',
                'not meant',
                'it counts epochs of one length',
            ),
            (
                'SimSiamHook',
                dict(fix_pred_lr=True, lr=0.1),
                'SimSiam',
                '`SimSiamHook`, `SwAVHook`, `DenseCLHook`, `SetAdaptiveMarginsHook`, `PrepareProtoBeforeValLoopHook`',
                'not meant',
                'they belong to other methods',
            ),
        ]
    ],
)
def test_a_hook_that_would_do_harm_is_refused_by_name(tiny_config, hook, message):
    with pytest.raises(ConfigError, match=message):
        prepare_config(tiny_config(custom_hooks=[hook]))
