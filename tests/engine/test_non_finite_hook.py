"""A step that is not finite is never taken, and its file computes it again."""

import math

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPERS

from cssa_mm.apis.replaying import replay
from cssa_mm.cli.main import main
from cssa_mm.engine import finite_steps
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import CheckpointError, ConfigError, NonFiniteError

ALONE = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None, 'default_hooks.calibration': None}
PARTS = {
    'train_dataloader.batch_size': 4,
    'train_dataloader.sampler.labelled_per_batch': 1,
    'optim_wrapper.accumulative_counts': 2,
}
PLUS = {'model.evidence': dict(type='DiscriminantEvidence'), 'model.neighbours': dict(type='Neighbours')}


class Inject(Hook):
    """Spoils the features of one image in some steps, and keeps what is learned before each step."""

    priority = 'VERY_LOW'

    def __init__(self, *steps, value=math.nan, row=3):
        self.steps, self.value, self.row, self.made, self.before, self.image = steps, value, row, [], {}, None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.before = {name: p.detach().clone() for name, p in runner.model.named_parameters() if p.requires_grad}
        if runner.iter + 1 in self.steps:
            self.image = data_batch['data_samples'][self.row].image_id
            for features in data_batch['features']:
                features[self.row] = self.value

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.made.append(runner.train_loop.made_step)


@pytest.fixture(autouse=True)
def unformatted(monkeypatch):
    """The runner formats its config three times, which takes seconds and changes nothing."""
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True), raising=False)


@pytest.fixture
def started(tiny_config):
    """started(hook, **overrides) -> a runner that is ready to train."""

    def make(hook=None, **overrides):
        runner = CSSARunner.from_cfg(tiny_config(**ALONE | overrides))
        if hook is not None:
            runner.register_hook(hook)
        return runner

    return make


@pytest.mark.smoke
@pytest.mark.parametrize('method', [{}, PLUS, PARTS])
def test_a_nan_stops_its_step_and_the_replay_reproduces_it(started, tmp_path, capsys, method):
    inject = Inject(4, row=5)
    runner = started(inject, **method)
    path = tmp_path / 'run' / 'non_finite_step_4.pth'
    with pytest.raises(NonFiniteError) as stopped:
        runner.train()
    text = str(stopped.value)
    assert text.startswith('step 4 of epoch 2: found loss=nan, loss_')
    assert f'images {inject.image}, expected finite ones; the image tower gives no finite features' in text
    assert text.endswith(f'compute it again: cssa replay {path}')
    assert runner.iter == 3
    now = {name: p for name, p in runner.model.named_parameters() if p.requires_grad}
    assert [name for name, value in inject.before.items() if not torch.equal(value, now[name])] == []

    found = replay(path)
    assert found.is_reproduced
    assert (found.step, found.epoch, found.now.images) == (4, 2, [inject.image])
    assert found.now.gradients
    assert found.now.parameters == []
    assert str(found.now.losses) == str(found.then.losses)  # bitwise, nan included
    if not method:
        assert main(['replay', str(path)]) == 0
        printed = capsys.readouterr().out
        assert 'Step 4 of epoch 2, 8 images' in printed
        assert f'not finite now:  {found.then.text()}' in printed


@pytest.mark.parametrize('parts', [{}, PARTS])
def test_a_replay_of_a_sound_step_says_that_nothing_is_wrong(started, tmp_path, capsys, parts):
    """What is mended in the file is finite again, and the losses are those of the step without the fault."""

    class Keep(Inject):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            self.sound = data_batch['features'][0][self.row].clone(), data_batch['features'][1][self.row].clone()
            super().before_train_iter(runner, batch_idx, data_batch)

    keep = Keep(3)
    with pytest.raises(NonFiniteError):
        started(keep, **parts).train()
    path = tmp_path / 'run' / 'non_finite_step_3.pth'
    content = torch.load(path)
    for features, row in zip(content['replay']['features'], keep.sound, strict=True):
        features[keep.row] = row
    torch.save(content, path)
    assert main(['replay', str(path)]) == 1
    assert 'not finite now:  nothing\nnot reproduced' in capsys.readouterr().out
    sound = started(work_dir=str(tmp_path / 'sound'), **parts)
    sound.train()
    losses = sound.message_hub.get_scalar('train/loss').data[0]
    assert replay(path).now.losses['loss'] == pytest.approx(losses[2], rel=1e-6)


def test_a_gradient_alone_stops_its_step_too(started):
    class Spoil(Inject):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            super().before_train_iter(runner, batch_idx, data_batch)
            if runner.iter == 1:
                runner.model.head.bias.register_hook(lambda gradient: gradient * math.inf)

    runner = started(Spoil())
    with pytest.raises(NonFiniteError, match='^step 2 of epoch 1: found gradients of head.bias, expected finite ones'):
        runner.train()
    assert torch.isfinite(runner.model.head.bias).all()


def test_steps_may_be_skipped_and_are_counted(started, tmp_path):
    inject = Inject(2, 5, value=math.inf)
    runner = started(inject, **{'default_hooks.non_finite.action': 'skip', 'default_hooks.non_finite.most_skipped': 2})
    runner.train()
    assert inject.made == [step not in (2, 5) for step in range(1, 11)]
    assert int(runner.model.teacher.steps) == 8
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())
    assert [path.name for path in (tmp_path / 'run').glob('non_finite*')] == ['non_finite_step_2.pth']
    (log,) = (tmp_path / 'run').glob('*/*.log')
    text = log.read_text()
    assert 'step 2 of epoch 1: found loss=' in text
    assert 'skipped, as 2 so far; training stops after 0 more' in text
    assert '2 steps were skipped, whose loss or gradients were not finite: 2, 5' in text


def test_more_skipped_steps_than_allowed_stop_the_training(started):
    inject = Inject(2, 3, 4)
    runner = started(inject, **{'default_hooks.non_finite.action': 'skip', 'default_hooks.non_finite.most_skipped': 2})
    with pytest.raises(NonFiniteError, match='^step 4 of epoch 2: found .*non_finite_step_4.pth, after 2 that were'):
        runner.train()


def test_a_last_step_that_spoils_the_model_leaves_no_checkpoint(started, tmp_path):
    """Labelled images alone, no validation: nothing else looks at the model."""
    options = {'train_cfg.semi_epochs': 0, 'train_dataloader.dataset.split.proportion': 0.2, 'param_scheduler': None}
    sgd = {'optim_wrapper.optimizer': dict(type='SGD', lr=1e37, momentum=0.9, _delete_=True)}
    runner = started(**options, **sgd)
    with pytest.raises(NonFiniteError, match='^end of epoch 1: found a model that is not finite .*lower optim_wrapper'):
        runner.train()
    assert list((tmp_path / 'run').glob('epoch_*.pth')) == []


def test_without_the_hook_nothing_is_checked(started):
    runner = started(Inject(4), **{'default_hooks.non_finite': None, 'train_cfg.semi_epochs': 0})
    runner.train()
    assert runner.train_loop._steps.finite is None


@pytest.mark.parametrize(('key', 'value'), [('action', 'stopp'), ('most_skipped', -1), ('most_skipped', True)])
def test_wrong_options_are_one_line(started, key, value):
    with pytest.raises(ConfigError, match=f'default_hooks.non_finite.{key}: found {value!r}, expected'):
        started(**{f'default_hooks.non_finite.{key}': value})


def test_another_file_is_no_replay(started, tmp_path):
    started(**{'train_cfg.semi_epochs': 0, 'train_cfg.val_begin': 1}).train()
    with pytest.raises(CheckpointError, match="replay: found '.*epoch_1.pth' without a step, expected non_finite"):
        replay(tmp_path / 'run' / 'epoch_1.pth')


# -- mixed precision -----------------------------------------------------------------------------------------------


@OPTIM_WRAPPERS.register_module()
class ScaledOptimWrapper(OptimWrapper):
    """Leaves steps out whose gradients overflow, as a gradient scaler does."""

    def __init__(self, **options):
        super().__init__(**options)
        self.loss_scaler = object()

    def step(self, **options):
        groups = self.optimizer.param_groups
        if all(torch.isfinite(p.grad).all() for group in groups for p in group['params'] if p.grad is not None):
            super().step(**options)


class Overflow(Inject):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 0:
            runner.model.head.bias.register_hook(
                lambda gradient: gradient * (math.inf if runner.iter + 1 in self.steps else 1)
            )


def test_gradients_that_overflow_while_a_scale_is_looked_for_are_normal(started):
    hook = Overflow(1, 2, 5)
    started(hook, **{'optim_wrapper.type': 'ScaledOptimWrapper'}).train()
    assert hook.made == [step not in (1, 2, 5) for step in range(1, 11)]


def test_gradients_that_overflow_at_any_scale_stop_the_training(started, monkeypatch):
    monkeypatch.setattr(finite_steps, 'MOST_OVERFLOWS', 3)
    runner = started(Overflow(*range(2, 9)), **{'optim_wrapper.type': 'ScaledOptimWrapper'})
    with pytest.raises(NonFiniteError, match='overflow in 4 steps in a row'):
        runner.train()
    assert runner.iter == 4


def test_a_loss_that_is_nan_stops_mixed_precision_too(started):
    runner = started(Inject(3), **{'optim_wrapper.type': 'ScaledOptimWrapper'})
    with pytest.raises(NonFiniteError, match='^step 3 of epoch 2: found loss=nan'):
        runner.train()


# -- folds, and processes ------------------------------------------------------------------------------------------


def test_a_fold_of_the_calibration_stops_as_well(started, monkeypatch, tmp_path):
    runner = started(**{'default_hooks.calibration': dict(type='CalibrationHook', folds=2)})
    given = type(runner.model).loss

    def spoiled(self, inputs, data_samples, targets=None, features=None):
        if runner.iter == runner.max_iters:
            features[0][0] = math.nan
        return given(self, inputs, data_samples, targets, features)

    monkeypatch.setattr(type(runner.model), 'loss', spoiled)
    with pytest.raises(NonFiniteError, match='^Fold 1 of 2: found loss=nan.*non_finite_fold_1_of_2.pth$'):
        runner.train()


TWO_RANKS = """
import sys, torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import NonFiniteError
class Inject(Hook):
    priority = 'VERY_LOW'
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 3 and get_rank() == 1:
            data_batch['features'][0][0] = torch.nan
runner = CSSARunner.from_cfg(Config.fromfile(sys.argv[1]))
runner.register_hook(Inject())
try:
    runner.train()
except NonFiniteError as error:
    assert 'step 4 of epoch 2: found loss=nan' in str(error), error
    assert str(error).endswith('non_finite_step_4_rank_1.pth'), error
    assert runner.iter == 3
else:
    raise SystemExit(5)
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='where there is CUDA, each process has a GPU of its own')
def test_all_processes_stop_at_the_step_and_name_the_file_of_the_one_that_failed(two_ranks, tiny_config, tmp_path):
    tiny_config(**ALONE, launcher='pytorch', work_dir=str(tmp_path / 'two')).dump(tmp_path / 'config.py')
    two_ranks(TWO_RANKS, tmp_path / 'config.py')
    assert replay(tmp_path / 'two' / 'non_finite_step_4_rank_1.pth').is_reproduced
