"""Loops as mmpretrain's users write them mean the semi-supervised loop, or are refused in one line."""

from pathlib import Path

import mmpretrain
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.guard_hook import check_custom_keys
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

SCHEDULES = sorted((Path(mmpretrain.__file__).parent / '.mim' / 'configs' / '_base_' / 'schedules').glob('*.py'))


@pytest.fixture(autouse=True)
def unformatted(monkeypatch):
    """The runner formats its config three times, which takes seconds and changes nothing."""
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True), raising=False)


@pytest.fixture
def loops_of(tiny_config):
    """loops_of(train_cfg) -> train_cfg of a config with this in place of its own, after it was prepared."""

    def prepare(train_cfg, **overrides) -> dict:
        config = tiny_config(**overrides)
        config.train_cfg = train_cfg
        return prepare_config(config).train_cfg.to_dict()

    return prepare


@pytest.mark.parametrize(
    ('given', 'warm_up', 'semi'),
    [
        (dict(by_epoch=True, max_epochs=100), 30, 70),
        (dict(max_epochs=40), 12, 28),
        (dict(max_epochs=1), 0, 1),
        (dict(type='EpochBasedTrainLoop', max_epochs=10), 3, 7),
        (dict(type='mmengine.EpochBasedTrainLoop', max_epochs=10), 3, 7),
        (dict(max_epochs=10, warmup_epochs=4), 4, 6),
        (dict(max_epochs=10, semi_epochs=10), 0, 10),
        (dict(max_epochs=10, semi_epochs=0), 10, 0),
        (dict(max_epochs=10, warmup_epochs=4, semi_epochs=6), 4, 6),
        (dict(type='SemiSupervisedTrainLoop', max_epochs=10), 3, 7),
    ],
)
def test_epochs_are_those_of_both_phases(loops_of, given, warm_up, semi):
    found = loops_of(dict(given, val_interval=3))
    assert found == dict(type='SemiSupervisedTrainLoop', warmup_epochs=warm_up, semi_epochs=semi, val_interval=3)
    assert loops_of(found) == found


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(by_epoch=False, max_iters=900), 'found max_iters=900, expected epochs.* unlabelled images / 6$'),
        (dict(type='IterBasedTrainLoop', max_iters=900, val_interval=100), 'found max_iters=900, expected epochs'),
        (dict(type='IterBasedTrainLoop'), 'found iterations \\(by_epoch=False\\), expected epochs'),
        (dict(type='SemiSupervisedTrainLoop', max_iters=9), 'found max_iters=9, expected epochs'),
        (
            dict(max_epochs=100, warmup_epochs=12, semi_epochs=28),
            'max_epochs=100 beside warmup_epochs=12 and semi_epochs=28, which make 40, .*warmup_epochs=30 .*_epochs=70',
        ),
        (dict(max_epochs=10, warmup_epochs=11), 'train_cfg.warmup_epochs: found 11 of max_epochs=10'),
        (dict(max_epochs='abc'), "train_cfg.max_epochs: found 'abc', expected a whole number from 1"),
        (dict(max_epochs=0), 'train_cfg.max_epochs: found 0, expected a whole number from 1'),
        (dict(semi_epochs='abc'), "train_cfg.semi_epochs: found 'abc', expected a whole number from 0"),
        (dict(max_epochs=3, semi_epochs=None), 'train_cfg.semi_epochs: found None'),
        (dict(max_epochs=3, val_interval=0), 'train_cfg.val_interval: found 0, expected a whole number from 1'),
        (dict(max_epochs=3, val_begin='1'), "train_cfg.val_begin: found '1', expected a whole number from 1"),
        (
            dict(max_epochs=3, dynamic_intervals=[3, 1]),
            'dynamic_intervals: found \\[3, 1\\], expected .*such as',
        ),
        (
            dict(max_epochs=3, dynamic_intervals=[(3, 1), (2, 1)]),
            'train_cfg.dynamic_intervals: found .*, expected rising pairs',
        ),
        (
            dict(type='EpochBasedTrainLop', max_epochs=3),
            "unknown component 'EpochBasedTrainLop'.*'EpochBasedTrainLoop'",
        ),
        (dict(max_epochs=3, val_intervall=1), "unknown key 'train_cfg.val_intervall'.*'val_interval'"),
    ],
)
def test_what_counts_no_epochs_is_refused_in_one_line(loops_of, given, message):
    with pytest.raises(ConfigError, match=message) as error:
        loops_of(given)
    assert '\n' not in str(error.value)


def test_a_wrong_share_of_labelled_images_leaves_the_line_about_iterations_whole(loops_of):
    with pytest.raises(ConfigError, match='expected epochs.* are a pass over them$'):
        loops_of(dict(max_iters=9), **{'train_dataloader.sampler.labelled_per_batch': 8})


@pytest.mark.parametrize('given', [dict(warmup_epochs=0, semi_epochs=0), dict(max_epochs=0)])
def test_a_training_without_an_epoch_is_refused(loops_of, given):
    with pytest.raises(ConfigError, match=r'^train_cfg\S*: found .*=?0.*, expected'):
        loops_of(given)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'val_cfg': dict(type='TestLoop')}, "val_cfg.type: found TestLoop, expected 'ValLoop'"),
        ({'test_cfg': dict(type='ValLoop')}, "test_cfg.type: found ValLoop, expected 'TestLoop'"),
        ({'val_cfg': dict(type='mmpretrain.RetrievalValLoop')}, "found RetrievalValLoop, expected 'ValLoop'"),
        ({'val_cfg': dict(fp16='yes')}, "val_cfg.fp16: found 'yes', expected True or False"),
    ],
)
def test_other_loops_of_validation_and_test_are_refused(tiny_config, options, message):
    with pytest.raises(ConfigError, match=message):
        CSSARunner.from_cfg(tiny_config(**options))


def test_data_for_validation_and_test_are_enough(tiny_config):
    config = tiny_config()
    config.pop('val_cfg')
    config.pop('test_cfg')
    prepare_config(config)
    assert config.val_cfg == config.test_cfg == {}
    config = tiny_config(val_cfg=None)
    assert prepare_config(config).val_cfg is None


class Recorder(Hook):
    def __init__(self):
        self.validated, self.rates = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])

    def before_val_epoch(self, runner):
        self.validated.append(runner.epoch)


def test_intervals_of_validation_may_change(tiny_config):
    options = {'default_hooks.calibration': None, 'default_hooks.checkpoint': None}
    config = tiny_config(**options)
    config.train_cfg = dict(max_epochs=7, val_interval=3, dynamic_intervals=[[5, 1]])
    runner = CSSARunner.from_cfg(config)
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    assert recorder.validated == [3, 4, 5, 6, 7]


@pytest.fixture(scope='module')
def inherited(tmp_path_factory):
    """inherited(config, schedule) -> a config that inherits one of mmpretrain's in place of its own."""

    def write(config: Config, schedule: Path) -> Config:
        folder = tmp_path_factory.mktemp('inherited')
        replaced = {*Config.fromfile(schedule), 'train_cfg', 'val_cfg', 'test_cfg', 'optim_wrapper', 'param_scheduler'}
        (folder / 'parts.py').write_text(
            ''.join(f'{key} = {value!r}\n' for key, value in config.to_dict().items() if key not in replaced)
        )
        (folder / 'mine.py').write_text(f"_base_ = ['parts.py', 'mmpretrain::_base_/schedules/{schedule.name}']\n")
        return Config.fromfile(folder / 'mine.py')

    return write


def shortened(config: Config) -> Config:
    """Two epochs of one step."""
    config.train_cfg.max_epochs = 2
    config.default_hooks.update(calibration=None, checkpoint=None)
    config.train_dataloader.update(batch_size=32, sampler=dict(type='SemiSupervisedSampler', labelled_per_batch=8))
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    return config


@pytest.mark.smoke
@pytest.mark.parametrize('name', ['imagenet_bs1024_adamw_swin', 'imagenet_bs2048_rsb', 'imagenet_lars_coslr_200e'])
def test_they_train(tiny_config, inherited, name):
    """Names of parts of other backbones, Lamb, whose own step fails at scalars, and LARS."""
    (schedule,) = (path for path in SCHEDULES if path.stem == name)
    runner = CSSARunner.from_cfg(shortened(inherited(tiny_config(), schedule)))
    before = {name: value.clone() for name, value in runner.model.head.named_parameters()}
    runner.train()
    assert (runner.train_loop.warmup_epochs, runner.train_loop.semi_epochs) == (1, 1)
    assert runner.iter == runner.max_iters == 2
    assert all(torch.isfinite(value).all() for value in runner.model.head.parameters())
    moved = {name for name, value in runner.model.head.named_parameters() if not torch.equal(before[name], value)}
    assert {'bias', 'log_temperature'} <= moved


def test_all_schedules_of_mmpretrain_can_be_inherited_as_they_are(tiny_config, inherited):
    """Their epochs are of two kinds, and a step of each optimiser moves the parameters down a gradient of 1."""
    runner = CSSARunner.from_cfg(tiny_config())
    start = {name: value.detach().clone() for name, value in runner.model.head.named_parameters()}
    assert len(SCHEDULES) >= 25
    ours = tiny_config()
    for schedule in SCHEDULES:
        config = prepare_config(inherited(ours, schedule))
        epochs = Config.fromfile(schedule).train_cfg.max_epochs
        assert epochs >= 90
        warm_up = config.train_cfg.warmup_epochs
        assert (10 * warm_up, warm_up + config.train_cfg.semi_epochs) == (3 * epochs, epochs)
        check_custom_keys(config.optim_wrapper, runner.model)
        optimiser = runner.build_optim_wrapper(config.optim_wrapper)
        for name, value in runner.model.head.named_parameters():
            value.data.copy_(start[name])
            value.grad = torch.ones_like(value)
        optimiser.step()
        for name, value in runner.model.head.named_parameters():
            assert value.shape == value.grad.shape == start[name].shape
            assert (value < start[name]).all(), f'{schedule.stem}: {name}'
