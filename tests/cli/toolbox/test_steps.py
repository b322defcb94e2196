"""Rows of steps, loops and loaders; tests/engine has the deep tests of each."""

import pytest
import torch
from mmengine.config import Config, ConfigDict

import cssa_mm
from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

STEPS, LOOPS, LOADERS = 'Schedules and steps', 'Loops and flags', 'Data sets and loaders'
SHORT = {
    'default_hooks.calibration': None,
    'default_hooks.checkpoint': None,
    'val_cfg': None,
    'val_dataloader': None,
    'val_evaluator': None,
}


def row(area, feature, verdict, note, *values):
    return pytest.param(*values, marks=pytest.mark.toolbox(area, feature, verdict, note), id=feature)


@pytest.fixture
def train(tiny_config, monkeypatch):
    """train(**overrides) -> the runner after two epochs, of two steps and of four."""
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True), raising=False)

    def run(**overrides):
        phases = {} if 'train_cfg' in overrides else {'train_cfg.warmup_epochs': 1, 'train_cfg.semi_epochs': 1}
        runner = CSSARunner.from_cfg(tiny_config(**SHORT | phases | overrides))
        runner.train()
        return runner

    return run


@pytest.mark.parametrize(
    ('options', 'steps'),
    [
        row(
            STEPS, '`optim_wrapper.accumulative_counts=k`', 'works',
            'an iteration is a step of the optimiser: k batches are one of k times the size; teacher, schedules, log '
            'and `max_iters` count steps',
            {'optim_wrapper.accumulative_counts': 2}, 1 + 2,
        ),
        row(
            STEPS, '`optim_wrapper.clip_grad`', 'works', 'by norm or by value, once a step',
            {'optim_wrapper.clip_grad': dict(type='value', clip_value=0.1)}, 2 + 4,
        ),
        row(
            STEPS, '`optim_wrapper` without `type`', 'works', 'OptimWrapper',
            {'optim_wrapper': dict(optimizer=dict(type='SGD', lr=0.01), _delete_=True)}, 2 + 4,
        ),
        row(
            LOADERS, '`collate_fn=dict(type="default_collate")`', 'works', 'means what `pseudo_collate` means',
            {'train_dataloader.collate_fn': dict(type='default_collate')}, 2 + 4,
        ),
        row(
            LOADERS, '`persistent_workers=True` with `num_workers=0`', 'works',
            'options of workers are left out without workers',
            {'train_dataloader.persistent_workers': True, 'train_dataloader.prefetch_factor': 2}, 2 + 4,
        ),
        row(
            LOADERS, '`randomness.diff_rank_seed=True`', 'works',
            'left out with a line: each image has a seed of its own, the same for any number of processes',
            {'randomness.diff_rank_seed': True}, 2 + 4,
        ),
    ],
)  # fmt: skip
def test_the_teacher_takes_the_steps_of_the_optimiser(train, options, steps):
    runner = train(**options)
    assert int(runner.model.teacher.steps) == runner.iter == runner.max_iters == steps


@pytest.mark.toolbox(
    STEPS, 'steps that mixed precision skips', 'works', 'a step that is left out moves neither teacher nor schedules'
)
def test_a_step_that_is_left_out_moves_no_teacher(train, monkeypatch):
    asked = []

    def step(self, **options):
        asked.append(options)
        if len(asked) != 3:
            self.optimizer.step(**options)

    monkeypatch.setattr('mmengine.optim.OptimWrapper.step', step)
    runner = train()
    assert (len(asked), runner.iter, int(runner.model.teacher.steps)) == (6, 6, 5)


@pytest.mark.toolbox(
    STEPS, '`--auto-scale-lr`, `auto_scale_lr.base_batch_size`', 'works',
    'by the images of a step, `batch_size` times `accumulative_counts`, whatever the number of processes',
)  # fmt: skip
def test_rates_are_scaled_by_the_images_of_a_step(train):
    schedule = {'param_scheduler': None, 'optim_wrapper.accumulative_counts': 2}
    scaled = train(auto_scale_lr=dict(enable=True, base_batch_size=4), **schedule).optim_wrapper.get_lr()
    plain = train(**schedule).optim_wrapper.get_lr()
    assert scaled['lr'] == pytest.approx([rate * 2 * 8 / 4 for rate in plain['lr']])


@pytest.mark.toolbox(
    STEPS, '`--amp`, `AmpOptimWrapper`', 'works', 'with CUDA, as in mmpretrain; on the CPU it is refused in one line'
)
@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has CUDA')
def test_mixed_precision_needs_cuda(tiny_config, tmp_path):
    with pytest.raises(ConfigError, match='^--amp: found no CUDA device'):
        cssa_mm.train(config=tiny_config(), amp=True, work_dir=tmp_path)


@pytest.mark.parametrize(
    ('train_cfg', 'epochs'),
    [
        row(
            LOOPS, '`train_cfg=dict(by_epoch=True, max_epochs=N)`', 'works',
            'epochs of both phases: a share of .3 over the labelled images alone, or `warmup_epochs` beside it; '
            'EpochBasedTrainLoop means the same',
            dict(by_epoch=True, max_epochs=10, val_interval=1), (3, 7),
        ),
        row(
            LOOPS, '`train_cfg.dynamic_intervals`', 'works', 'as in mmengine',
            dict(type='EpochBasedTrainLoop', max_epochs=20, dynamic_intervals=[(10, 2)]), (6, 14),
        ),
    ],
)  # fmt: skip
def test_epochs_are_those_of_both_phases(tiny_config, train_cfg, epochs):
    config = tiny_config()
    config.train_cfg = ConfigDict(train_cfg)
    prepare_config(config)
    assert (config.train_cfg.warmup_epochs, config.train_cfg.semi_epochs) == epochs
    assert config.train_cfg.type == 'SemiSupervisedTrainLoop'


OTHER = "sampler=dict\\(type='SemiSupervisedSampler'\\) and batch_sampler=dict\\(type='GlobalBatchSampler'\\)"


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        row(
            LOOPS, 'IterBasedTrainLoop, `by_epoch=False`, `max_iters`', 'refused',
            'pseudo-labels are made before each epoch; the line says what to set',
            {'train_cfg': dict(by_epoch=False, max_iters=900, _delete_=True)}, 'found max_iters=900, expected epochs',
        ),
        row(
            LOOPS, '`val_cfg.type`, `test_cfg.type` of retrieval', 'not meant', 'each image is scored once',
            {'val_cfg': dict(type='RetrievalValLoop')}, "val_cfg.type: found RetrievalValLoop, expected 'ValLoop'",
        ),
        row(
            STEPS, 'LearningRateDecayOptimWrapperConstructor, `layer_decay_rate`', 'not meant',
            'the backbone is frozen; `paramwise_cfg.custom_keys` gives parts other rates',
            {'optim_wrapper.constructor': 'LearningRateDecayOptimWrapperConstructor'}, 'by layers of the backbone',
        ),
        row(
            LOADERS, '`drop_last=True`', 'refused', 'every batch is full; figures are of all images',
            {'test_dataloader.drop_last': True}, 'test_dataloader.drop_last: found True, expected False',
        ),
        row(
            LOADERS, '`num_batch_per_epoch`', 'refused', 'an epoch is a pass over the unlabelled images',
            {'train_dataloader.num_batch_per_epoch': 3}, 'num_batch_per_epoch: found 3, expected none',
        ),
        row(
            LOADERS, 'DefaultSampler, InfiniteSampler, RepeatAugSampler in training', 'refused',
            'batches are of labelled and unlabelled images, the same for any number of processes',
            {'train_dataloader.sampler': dict(type='InfiniteSampler', _delete_=True)}, OTHER,
        ),
        row(
            LOADERS, '`batch_sampler=None` in training', 'refused', 'as above',
            {'train_dataloader.batch_sampler': None}, OTHER,
        ),
        row(
            LOADERS, 'InfiniteSampler, RepeatAugSampler in validation and test', 'refused',
            'each image counts once; DefaultSampler works, shuffled or not',
            {'test_dataloader.sampler': dict(type='RepeatAugSampler', _delete_=True)}, 'shows images several times',
        ),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused_in_one_line(tiny_config, options, message):
    with pytest.raises(ConfigError, match=message) as error:
        prepare_config(tiny_config(**options))
    assert '\n' not in str(error.value)


@pytest.mark.toolbox(
    STEPS, "schedule files, `_base_ = 'mmpretrain::_base_/schedules/...'`", 'works',
    'all of them, in place of ours; parts of other backbones that they name are passed over with a line',
)  # fmt: skip
def test_a_schedule_file_of_mmpretrain_trains(train, tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py'\n")
    theirs = Config.fromfile(tmp_path / 'mine.py')
    runner = train(
        train_cfg=dict(theirs.train_cfg, max_epochs=2, _delete_=True),
        optim_wrapper=dict(theirs.optim_wrapper, _delete_=True),
        param_scheduler=theirs.param_scheduler,
        auto_scale_lr=theirs.auto_scale_lr,
    )
    assert (runner.train_loop.warmup_epochs, runner.train_loop.semi_epochs, runner.iter) == (1, 1, 6)
