"""Options of loaders that mmengine's users know are right here, or refused in one line."""

import pytest
import torch
from mmengine.config import Config

from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

TRAIN, TEST = 'train_dataloader', 'test_dataloader'


@pytest.fixture(autouse=True)
def unformatted(monkeypatch):
    """The runner formats its config three times, which takes seconds and changes nothing."""
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True), raising=False)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({f'{TRAIN}.drop_last': True}, 'train_dataloader.drop_last: found True, expected False: every batch is full'),
        (
            {f'{TEST}.drop_last': True},
            'test_dataloader.drop_last: found True, expected False: figures are of all images',
        ),
        (
            {f'{TEST}.batch_sampler': dict(type='BatchSampler', drop_last=True)},
            'test_dataloader.drop_last: found True, expected False',
        ),
        ({f'{TRAIN}.num_batch_per_epoch': 5}, 'train_dataloader.num_batch_per_epoch: found 5, .*train_cfg.semi_epochs'),
        ({f'{TEST}.num_batch_per_epoch': 5}, 'test_dataloader.num_batch_per_epoch: found 5, expected none: figures'),
        ({f'{TRAIN}.num_workers': -1}, 'train_dataloader.num_workers: found -1, expected a whole number from 0'),
        ({f'{TEST}.num_workers': '2'}, "test_dataloader.num_workers: found '2', expected a whole number from 0"),
        ({f'{TRAIN}.batch_size': 'abc'}, "train_dataloader.batch_size: found 'abc', expected a whole number from 1"),
        ({f'{TEST}.batch_size': 0}, 'test_dataloader.batch_size: found 0, expected a whole number from 1'),
        ({f'{TRAIN}.prefetch_factor': 0}, 'train_dataloader.prefetch_factor: found 0, expected'),
        ({f'{TRAIN}.timeout': -1}, 'train_dataloader.timeout: found -1, expected a number from 0 .seconds'),
        (
            {f'{TEST}.persistent_workers': 'no'},
            "test_dataloader.persistent_workers: found 'no', expected True or False",
        ),
        (
            {f'{TRAIN}.collate_fn': 'default_collate'},
            "train_dataloader.collate_fn: found 'default_collate', expected dict",
        ),
        ({f'{TEST}.collate_fn': dict(type='default_colate')}, "test_dataloader.collate_fn: found .*'default_colate'"),
        (
            {f'{TRAIN}.sampler': dict(type='DefaultSampler', shuffle=True, _delete_=True)},
            'train_dataloader.sampler: found a DefaultSampler, expected',
        ),
        (
            {f'{TRAIN}.sampler': dict(type='InfiniteSampler', _delete_=True)},
            'train_dataloader.sampler: found a InfiniteSampler, expected',
        ),
        (
            {f'{TRAIN}.sampler': dict(type='RepeatAugSampler', shuffle=True, _delete_=True)},
            'train_dataloader.sampler: found a RepeatAugSampler, expected',
        ),
        ({f'{TRAIN}.sampler.world_size': 2}, 'train_dataloader.sampler.world_size: found 2, expected none, as the'),
        ({f'{TRAIN}.sampler.rank': 0}, 'train_dataloader.sampler.rank: found 0, expected none, as the launcher'),
        ({f'{TRAIN}.sampler.seed': 'a'}, "train_dataloader.sampler.seed: found 'a', expected a whole number from 0"),
        ({f'{TRAIN}.sampler': None}, 'train_dataloader.sampler: found None, expected'),
        (
            {f'{TRAIN}.sampler': dict(labelled_per_batch=2, _delete_=True)},
            'train_dataloader.sampler: found .*, expected',
        ),
        ({f'{TRAIN}.batch_sampler': None}, 'train_dataloader.batch_sampler: found None, expected'),
        (
            {f'{TRAIN}.batch_sampler': dict(type='AspectRatioBatchSampler', _delete_=True)},
            "unknown component 'AspectRatioBatchSampler' as train_dataloader.batch_sampler.type",
        ),
        ({f'{TEST}.sampler': None}, 'test_dataloader.sampler: found none, expected'),
        (
            {f'{TEST}.sampler': dict(type='InfiniteSampler', _delete_=True)},
            'test_dataloader.sampler: found a InfiniteSampler, which shows images several times',
        ),
        (
            {f'{TEST}.sampler': dict(type='RepeatAugSampler', _delete_=True)},
            'test_dataloader.sampler: found a RepeatAugSampler, which shows images several times',
        ),
        (
            {f'{TEST}.sampler': dict(type='SequentialSampler', subsample_type='sequential', _delete_=True)},
            "test_dataloader.sampler.subsample_type: found 'sequential'",
        ),
    ],
)
def test_what_would_fail_or_leave_images_out_is_refused_in_one_line(tiny_config, options, message):
    with pytest.raises(ConfigError, match=message) as error:
        prepare_config(tiny_config(**options))
    assert '\n' not in str(error.value)


def test_a_training_loader_needs_a_batch_size(tiny_config):
    config = tiny_config()
    config.train_dataloader.pop('batch_size')
    config.val_dataloader.pop('batch_size')  # torch's is 1
    with pytest.raises(ConfigError, match='^train_dataloader.batch_size: found none'):
        prepare_config(config)


def test_options_of_workers_are_left_out_without_workers(tiny_config):
    config = tiny_config(**{'test_dataloader.num_workers': 1})
    for name in (TRAIN, TEST):
        config[name].update(prefetch_factor=2, timeout=5, persistent_workers=True)
    prepare_config(config)
    assert not {'prefetch_factor', 'timeout'} & set(config.train_dataloader)
    assert not config.train_dataloader.persistent_workers
    assert (config.test_dataloader.prefetch_factor, config.test_dataloader.persistent_workers) == (2, True)


@pytest.fixture
def trained(tiny_config, tmp_path):
    """trained('a', **overrides) -> the state_dict and the metrics of a short training."""

    def train(name: str, **overrides) -> tuple[dict, dict]:
        runner = CSSARunner.from_cfg(
            tiny_config(
                **{
                    'work_dir': str(tmp_path / name),
                    'train_cfg.semi_epochs': 1,
                    'train_cfg.val_begin': 2,
                    'default_hooks.calibration': None,
                    'default_hooks.checkpoint': None,
                }
                | overrides
            )
        )
        runner.train()
        return runner.model.state_dict(), runner.val_loop.run()

    return train


def assert_same(found, expected):
    assert [name for name, value in found[0].items() if not torch.equal(value, expected[0][name])] == []
    assert found[1] == expected[1]


@pytest.mark.parametrize(
    'options',
    [
        {'randomness.diff_rank_seed': True},
        {
            f'{TRAIN}.collate_fn': dict(type='default_collate'),
            'val_dataloader.collate_fn': dict(type='default_collate'),
        },
        {'val_dataloader.sampler.shuffle': True, 'val_dataloader.batch_size': 5},
        {'val_dataloader.sampler': dict(type='DefaultSampler', shuffle=False, round_up=False, _delete_=True)},
        {f'{TRAIN}.num_workers': 2, f'{TRAIN}.persistent_workers': True, f'{TRAIN}.prefetch_factor': 1},
    ],
    ids=str,
)
def test_what_decides_nothing_changes_nothing(trained, options):
    (_, metrics), (_, expected) = found, plain = trained('a', **options), trained('b')
    if 'val_dataloader.batch_size' in options:
        assert metrics == pytest.approx(expected)
        found = found[0], expected
    assert_same(found, plain)


def test_a_validation_in_half_precision_is_close(trained):
    _, metrics = trained('a', **{'val_cfg.fp16': True})
    _, expected = trained('b')
    assert metrics == pytest.approx(expected, abs=10)


def test_a_config_is_prepared_once(tiny_config):
    config = prepare_config(tiny_config(**{'randomness.diff_rank_seed': True}))
    before = config.to_dict()
    assert isinstance(config, Config)
    assert prepare_config(config).to_dict() == before
