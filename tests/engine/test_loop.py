import json

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from cssa_mm.errors import ConfigError, SplitError
from cssa_mm.features.training import mirrored_view


class Recorder(Hook):
    """Writes down what every step sees."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.steps, self.losses, self.rates, self.validated = [], [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        samples = data_batch['data_samples']
        self.steps.append((runner.epoch, [(sample.image_id, bool(sample.is_labelled)) for sample in samples]))
        self.losses.append({name: float(value) for name, value in outputs.items()})
        self.rates.append(runner.optim_wrapper.get_lr()['lr'])

    def after_val_epoch(self, runner, metrics=None):
        self.validated.append((runner.epoch, metrics))


@pytest.fixture
def run(tiny_config):
    """run(**overrides) -> the runner after training, and its recorder."""

    def train(**overrides):
        runner = Runner.from_cfg(tiny_config(**overrides))
        recorder = Recorder()
        runner.register_hook(recorder)
        runner.train()
        return runner, recorder

    return train


@pytest.mark.smoke
def test_warm_up_epochs_show_labelled_images_and_the_later_ones_both(run, tmp_path):
    runner, recorder = run()
    data = runner.train_dataloader.dataset
    by_epoch = {epoch: [batch for e, batch in recorder.steps if e == epoch] for epoch in range(3)}
    assert [len(batches) for batches in by_epoch.values()] == [2, 4, 4]
    assert runner.max_iters == runner.iter == 10
    labelled = {data.image_ids[i] for i in data.labelled_indices}
    assert all(is_labelled for batch in by_epoch[0] for _, is_labelled in batch)
    assert {image_id for batch in by_epoch[0] for image_id, _ in batch} == labelled
    for epoch in (1, 2):
        assert all(sum(is_labelled for _, is_labelled in batch) == 2 for batch in by_epoch[epoch])
        unlabelled = [image_id for batch in by_epoch[epoch] for image_id, is_labelled in batch if not is_labelled]
        assert sorted(unlabelled) == sorted(set(data.image_ids) - labelled)
    assert by_epoch[1] != by_epoch[2]
    assert all(('loss_unlabelled' in losses) == (step >= 2) for step, losses in enumerate(recorder.losses))

    epochs = [json.loads(line)['epoch'] for line in (tmp_path / 'run' / 'pseudo_labels.jsonl').read_text().splitlines()]
    assert epochs == [2, 3]
    assert int(runner.model.teacher.steps) == 10


def test_the_last_epoch_is_validated_and_the_rate_follows_a_cosine_over_all_steps(run):
    _, recorder = run(**{'train_cfg.val_begin': 2, 'train_cfg.val_interval': 5})
    assert [epoch for epoch, _ in recorder.validated] == [3]
    assert {'ema/mAP', 'student/mAP', 'ema/CF1', 'ema/OF1'} <= set(recorder.validated[0][1])
    rates = [rate[0] for rate in recorder.rates[:-1]]  # after each step that another one follows
    expected = [0.02 * (0.01 + 0.99 * (1 + np.cos(np.pi * step / 10)) / 2) for step in range(1, 10)]
    assert rates == pytest.approx(expected, rel=1e-6)


def test_the_same_seed_gives_bitwise_the_same_run(run, tmp_path):
    first, seen = run(work_dir=str(tmp_path / 'a'))
    second, again = run(work_dir=str(tmp_path / 'b'))
    assert seen.losses == again.losses
    other = second.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in first.model.state_dict().items())
    _, different = run(work_dir=str(tmp_path / 'c'), **{'randomness.seed': 2})
    assert different.losses != seen.losses


def test_cached_features_change_nothing_but_the_time(run, tmp_path):
    _, cached = run(work_dir=str(tmp_path / 'a'))
    _, plain = run(work_dir=str(tmp_path / 'b'), **{'default_hooks.feature_cache.gib': 0.0})
    # On a GPU convolutions round to TF32, and by batch size.
    tolerance = 3e-3 if torch.cuda.is_available() else 1e-4
    for with_cache, without in zip(cached.losses, plain.losses, strict=True):
        assert with_cache == pytest.approx(without, rel=tolerance)


def test_only_a_flip_of_the_plain_view_can_be_cached_for_training(tiny_config):
    config = tiny_config()
    assert [step['type'] for step in mirrored_view(config)] == ['LoadRGBImage', 'RandomFlip', 'PackInputs']
    assert mirrored_view(config)[1]['prob'] == 1.0
    config.train_dataloader.dataset.pipeline[1].direction = 'vertical'
    assert mirrored_view(config) is None
    config = tiny_config()
    config.train_dataloader.dataset.pipeline.insert(1, dict(type='Cutout', shape=8, prob=1.0))
    assert mirrored_view(config) is None
    config = tiny_config()
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.pipeline[-1].meta_keys = ('image_id', 'is_labelled')
    assert mirrored_view(config) is None  # nothing says which of the two an image is


def test_without_semi_supervised_epochs_training_needs_no_unlabelled_image(run):
    runner, recorder = run(**{'train_cfg.semi_epochs': 0, 'train_dataloader.dataset.split': None})
    assert [epoch for epoch, _ in recorder.steps] == [0] * 5  # 40 labelled images
    assert runner.model.bank is None


def test_without_warm_up_the_first_epoch_has_pseudo_labels(run):
    _, recorder = run(**{'train_cfg.warmup_epochs': 0, 'train_cfg.semi_epochs': 1})
    assert len(recorder.losses) == 4
    assert all('loss_unlabelled' in losses for losses in recorder.losses)


@pytest.mark.parametrize(('key', 'value'), [('warmup_epochs', -1), ('semi_epochs', 2.5), ('semi_epochs', '3')])
def test_numbers_of_epochs_are_whole_and_not_negative(run, key, value):
    with pytest.raises(ConfigError, match=f'train_cfg.{key}: found {value!r}, expected a whole number from 0'):
        run(**{f'train_cfg.{key}': value})


@pytest.mark.parametrize(
    'change',
    [
        {'train_dataloader.batch_sampler': None},
        {
            'train_dataloader.batch_sampler': None,
            'train_dataloader.sampler': dict(_delete_=True, type='DefaultSampler', shuffle=True),
        },
    ],
)
def test_a_loader_without_our_samplers_is_refused(run, change):
    with pytest.raises(ConfigError, match="batch_sampler=dict\\(type='GlobalBatchSampler'\\)"):
        run(**change)


def test_semi_supervised_epochs_without_unlabelled_images_are_refused_before_the_first_step(tiny_config):
    runner = Runner.from_cfg(tiny_config(**{'train_dataloader.dataset.split': None}))
    recorder = Recorder()
    runner.register_hook(recorder)
    with pytest.raises(ConfigError, match='found no unlabelled image, expected some'):
        runner.train()
    assert not recorder.steps


def test_test_images_are_refused_in_training(run):
    same = {'val_dataloader.dataset.ann_file': 'train.json', 'val_dataloader.dataset.img_dir': 'train'}
    with pytest.raises(SplitError, match="val_dataloader.dataset: found image id '100' in both"):
        run(**same)


def test_unknown_keys_are_refused_in_programs_that_do_not_check_them(tiny_config):
    config = tiny_config()
    runner = Runner.from_cfg(config)
    runner.cfg.model.unlabelled_wieght = 1.0
    with pytest.raises(ConfigError, match="Did you mean 'unlabelled_weight'"):
        runner.train()


def test_training_without_validation_takes_the_plain_view_of_the_test_data(run):
    nothing = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}
    runner, recorder = run(**nothing)
    assert runner.iter == 10
    assert not recorder.validated


def test_a_learning_rate_that_no_parameter_gets_is_refused(run):
    with pytest.raises(ConfigError) as error:
        run(**{'optim_wrapper.paramwise_cfg.custom_keys': {'contxt_head': dict(lr_mult=2.0)}})
    assert str(error.value) == (
        "optim_wrapper.paramwise_cfg.custom_keys: found 'contxt_head', which matches no parameter, expected a part of "
        "the name of one. Did you mean 'context_head'?"
    )


@pytest.mark.parametrize('name', ['forward', 'training'])
def test_a_learning_rate_of_what_is_no_part_of_the_model_is_refused(run, name):
    with pytest.raises(ConfigError, match=f"found '{name}', which matches no parameter"):
        run(**{'optim_wrapper.paramwise_cfg.custom_keys': {name: dict(lr_mult=2.0)}})


def test_a_learning_rate_of_a_part_of_a_part_that_is_switched_off_is_no_mistake(run):
    runner, _ = run(**{'model.head.shared_prompts': True})
    assert 'semantic_prompts' in runner.cfg.optim_wrapper.paramwise_cfg.custom_keys
    assert not any('semantic_prompts' in name for name, _ in runner.model.named_parameters())


def test_a_learning_rate_of_a_part_that_is_switched_off_is_no_mistake(run):
    runner, _ = run(**{'model.context_head': None})
    assert 'context_head' in runner.cfg.optim_wrapper.paramwise_cfg.custom_keys
    assert not any(name.startswith('context_head') for name, _ in runner.model.named_parameters())
