import json

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import get_priority
from torch import nn

from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook


class Recorder(Hook):
    """Writes down what every step sees."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.steps, self.losses, self.rates, self.validated = [], [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        samples = data_batch['data_samples']
        self.steps.append((runner.epoch, [(sample.image_id, bool(sample.is_labelled)) for sample in samples]))
        self.losses.append({name: value.item() for name, value in outputs.items()})
        self.rates.append(runner.optim_wrapper.get_lr()['lr'])

    def after_val_epoch(self, runner, metrics=None):
        self.validated.append((runner.epoch, metrics))


@pytest.fixture
def run(tiny_config):
    """run(change=function of the config, **overrides) -> the runner after training, and its recorder."""

    def train(change=None, **overrides):
        config = tiny_config(**overrides)
        if change is not None:
            change(config)
        runner = CSSARunner.from_cfg(config)
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


def test_a_training_that_ends_before_its_first_validation_says_so(run, tmp_path):
    _, recorder = run(**{'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 2, 'default_hooks.calibration': None})
    assert recorder.validated == []
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert 'train_cfg.val_begin=2 is after the last of 1 epochs: there is no validation' in log.read_text()


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
    _, plain = run(work_dir=str(tmp_path / 'b'), **{'default_hooks.pseudo_labels.feature_cache.gib': 0.0})
    # On a GPU convolutions round to TF32, and by batch size.
    tolerance = 3e-3 if torch.cuda.is_available() else 1e-4
    for with_cache, without in zip(cached.losses, plain.losses, strict=True):
        assert with_cache == pytest.approx(without, rel=tolerance)


def test_without_semi_supervised_epochs_training_needs_no_unlabelled_image(run):
    runner, recorder = run(**{'train_cfg.semi_epochs': 0, 'train_dataloader.dataset.split': None})
    assert [epoch for epoch, _ in recorder.steps] == [0] * 5  # 40 labelled images
    hook = next(hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
    assert hook.semi_supervision.state.bank is None


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
    runner = CSSARunner.from_cfg(tiny_config(**{'train_dataloader.dataset.split': None}))
    recorder = Recorder()
    runner.register_hook(recorder)
    with pytest.raises(ConfigError, match='found no unlabelled image, expected some'):
        runner.train()
    assert not recorder.steps


# -- what decides nothing ------------------------------------------------------------------------------------------

CUTOUT = dict(type='Cutout', shape=16, prob=0.5)
EVIDENCE = dict(type='DiscriminantEvidence')


@pytest.fixture
def trained(run, tmp_path):
    """trained('a', change, **overrides) -> checkpoints and records of a run with augmented views and evidence."""

    def train(name: str, change=None, **overrides) -> tuple[dict, str]:
        def strong(config) -> None:
            config.train_dataloader.dataset.pipeline.insert(2, CUTOUT)
            if change is not None:
                change(config)

        run(strong, **{'work_dir': str(tmp_path / name), 'model.evidence': EVIDENCE} | overrides)
        states = {epoch: torch.load(tmp_path / name / f'epoch_{epoch}.pth')['state_dict'] for epoch in (2, 3)}
        weights = {f'{epoch}: {key}': value for epoch, state in states.items() for key, value in state.items()}
        return weights, (tmp_path / name / 'pseudo_labels.jsonl').read_text()

    return train


def assert_same(found: tuple[dict, str], expected: tuple[dict, str]) -> None:
    assert found[0].keys() == expected[0].keys()
    assert [name for name, value in found[0].items() if not torch.equal(value, expected[0][name])] == []
    assert found[1] == expected[1]


def test_without_the_hook_that_seeds_samplers_training_leaves_the_warm_up_all_the_same(run, tmp_path):
    """Sampler and loop agree on the epoch, whatever hooks there are."""
    without, seen = run(work_dir=str(tmp_path / 'a'), **{'default_hooks.sampler_seed': None})
    assert not any(type(hook).__name__ == 'DistSamplerSeedHook' for hook in without.hooks)
    assert [epoch for epoch, _ in seen.steps] == [0] * 2 + [1] * 4 + [2] * 4
    _, expected = run(work_dir=str(tmp_path / 'b'))
    assert seen.steps == expected.steps
    assert seen.losses == expected.losses


def test_the_order_of_the_hooks_decides_nothing(trained, monkeypatch):
    """Neither the order in the config, nor that of hooks of one priority."""
    expected = trained('a')

    def turn(config) -> None:
        config.default_hooks = ConfigDict(reversed(list(config.default_hooks.items())))

    assert_same(trained('turned', turn), expected)
    register = CSSARunner.register_hooks

    def swapped(self, *given) -> None:
        register(self, *given)
        before = list(self._hooks)
        self._hooks = sorted(reversed(before), key=lambda hook: get_priority(hook.priority))
        assert self._hooks != before

    monkeypatch.setattr(CSSARunner, 'register_hooks', swapped)
    assert_same(trained('swapped'), expected)


def test_no_hook_writes_an_attribute_of_the_model(run, monkeypatch):
    """Modules switch their mode; whatever else training changes lies in tensors, or is adopted after the last epoch."""
    written, write, call, started = set(), nn.Module.__setattr__, CSSARunner.call_hook, []

    def record(self, name, value):
        if started and getattr(self, name, None) is not value:  # `+=` writes into the tensor that is there
            written.add((type(self).__name__, name))
        write(self, name, value)

    def start(self, event, **given):
        if event == 'before_train':
            started.append(event)
        call(self, event, **given)

    monkeypatch.setattr(nn.Module, '__setattr__', record)
    monkeypatch.setattr(CSSARunner, 'call_hook', start)
    runner, _ = run(**{'model.evidence': EVIDENCE})
    assert ('CSSAClassifier', 'training') in written
    of_model = {(kind, name) for kind, name in written if kind != 'ClassPrompts'}  # those of untrained names
    assert {name for _, name in of_model} == {'training', 'calibration', 'thresholds', 'zero_shot'}
    fresh = CSSARunner.from_cfg(runner.cfg).model
    assert vars(runner.model).keys() == vars(fresh).keys()


def other_view(config) -> None:
    config.val_dataloader.dataset.pipeline = [
        dict(type='LoadRGBImage'),
        dict(type='Resize', scale=(96, 96)),
        dict(type='PackInputs', meta_keys=('image_id',)),
    ]


def no_validation(config) -> None:
    config.val_dataloader = config.val_cfg = config.val_evaluator = None


def no_test(config) -> None:
    no_validation(config)
    config.test_dataloader = config.test_cfg = config.test_evaluator = None


@pytest.mark.parametrize('change', [other_view, no_validation, no_test])
def test_what_is_validated_decides_nothing_of_what_is_trained(trained, change):
    assert_same(trained('b', change), trained('a'))


def test_the_view_decides_what_is_trained(trained):
    """The same change in the place where it counts."""
    (weights, records), (other, other_records) = trained('a'), trained('b', **{'view.size': 96})
    assert records != other_records
    assert not torch.equal(weights['3: head.bias'], other['3: head.bias'])


def test_a_run_without_validation_has_none(run):
    runner, recorder = run(no_validation)
    assert runner.iter == 10
    assert not recorder.validated
