"""A step on k batches of B / k images is the step on one batch of B, and only steps that are made count."""

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPERS

from cssa_mm.engine.cross_fitting import cross_fitted_readings, snapshot
from cssa_mm.engine.optimiser_steps import OptimiserSteps, accumulation_of, merged, split
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError
from cssa_mm.models.objective import Targets
from cssa_mm.semi import PseudoLabelHook

WHOLE = {'train_dataloader.batch_size': 8, 'train_dataloader.sampler.labelled_per_batch': 2}
PARTS = {
    'train_dataloader.batch_size': 4,
    'train_dataloader.sampler.labelled_per_batch': 1,
    'optim_wrapper.accumulative_counts': 2,
}
# Without Adam, which makes a full step of rounding where a gradient is 0.
SGD = {
    'optim_wrapper.optimizer': dict(type='SGD', lr=1e-3, momentum=0.9, _delete_=True),
    'default_hooks.calibration': None,
    'default_hooks.checkpoint': None,
    'val_cfg': None,
    'val_dataloader': None,
    'val_evaluator': None,
}


class Recorder(Hook):
    """Writes down what every step sees, and the figures of the log."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.images, self.losses, self.rates, self.seen, self.made = [], [], [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.images.append(sorted(sample.image_id for sample in data_batch['data_samples']))
        self.losses.append({name: value.item() for name, value in outputs.items()})
        self.seen.append((runner.iter, batch_idx))
        self.made.append(runner.train_loop.made_step)
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])


@pytest.fixture(autouse=True)
def unformatted(monkeypatch):
    """The runner formats its config three times, which takes seconds and changes nothing."""
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True), raising=False)


@pytest.fixture
def run(tiny_config, tmp_path):
    """run(**overrides) -> the runner after a training with SGD, and its recorder."""
    names = iter('abcdef')

    def train(**overrides):
        runner = CSSARunner.from_cfg(tiny_config(**SGD | {'work_dir': str(tmp_path / next(names))} | overrides))
        recorder = Recorder()
        runner.register_hook(recorder)
        runner.train()
        return runner, recorder

    return train


def assert_same_training(found, expected):
    (runner, recorder), (whole, seen) = found, expected
    assert recorder.images == seen.images
    assert recorder.seen == seen.seen
    assert runner.iter == runner.max_iters == whole.iter == whole.max_iters
    assert recorder.rates == seen.rates
    for losses, other in zip(recorder.losses, seen.losses, strict=True):
        assert losses == pytest.approx(other, rel=1e-5)
    assert int(runner.model.teacher.steps) == whole.iter
    state = whole.model.state_dict()
    for name, value in runner.model.state_dict().items():
        if not name.endswith('_extra_state'):
            torch.testing.assert_close(
                value, state[name], rtol=1e-6, atol=1e-6, msg=lambda text, name=name: f'{name}: {text}'
            )


@pytest.mark.smoke
@pytest.mark.parametrize('reduction', ['sum', 'mean', 'batch_mean'])
def test_batches_of_a_step_are_one_batch_of_their_size(run, reduction):
    """Images, losses, rates, parameters and teacher; the parts differ in their numbers of known cells."""
    options = {'model.loss.reduction': reduction}
    rate = {'optim_wrapper.optimizer.lr': 1e-3 if reduction == 'sum' else 0.01}
    assert_same_training(run(**PARTS, **options | rate), run(**WHOLE, **options | rate))


def test_gradients_are_clipped_once_a_step(run):
    clip = {'optim_wrapper.clip_grad': dict(max_norm=0.5)}
    found, expected = run(**PARTS, **clip), run(**WHOLE, **clip)
    assert_same_training(found, expected)
    norms = [runner.message_hub.get_scalar('train/grad_norm') for runner, _ in (found, expected)]
    assert [norm.statistics('mean') for norm in norms[:1]] == pytest.approx([norms[1].statistics('mean')], rel=1e-5)
    assert len(norms[0].data[0]) == found[0].max_iters


def test_what_the_tower_encodes_itself_gives_the_same(run):
    """Nothing is kept: each part goes through the tower on its own."""
    plain = {
        'default_hooks.pseudo_labels.feature_cache.gib': 0.0,
        'train_dataloader.collate_fn.type': 'default_collate',
    }
    assert_same_training(run(**PARTS, **plain), run(**WHOLE, **plain))


def test_the_log_says_what_a_step_is_and_has_no_false_warnings(run):
    runner, _ = run(**PARTS)
    (log,) = Path(runner.work_dir).glob('*/*.log')
    text = log.read_text()
    assert text.count('A step takes 8 images: gradients accumulate over 2 batches of 4') == 1
    assert 'BatchNorm layers' not in text


def test_a_resumed_run_ends_where_a_whole_one_does(tiny_config, tmp_path):
    """After an odd number of steps, where mmengine would count half a step."""
    options = PARTS | {
        'default_hooks.checkpoint.max_keep_ckpts': -1,
        'default_hooks.calibration': None,
        'val_cfg': None,
    }
    options |= {'val_dataloader': None, 'val_evaluator': None, 'train_dataloader.dataset.split.proportion': 0.2}
    whole = CSSARunner.from_cfg(tiny_config(**options))
    whole.train()
    middle = str(tmp_path / 'run' / 'epoch_1.pth')
    assert torch.load(middle)['meta']['iter'] == 1
    resumed = tiny_config(**options, resume=True, load_from=middle, work_dir=str(tmp_path / 'resumed'))
    runner = CSSARunner.from_cfg(resumed)
    runner.train()
    state = whole.model.state_dict()
    assert [n for n, value in runner.model.state_dict().items() if not torch.equal(value, state[n])] == []


# -- steps that are not made ---------------------------------------------------------------------------------------


@OPTIM_WRAPPERS.register_module()
class SkippingOptimWrapper(OptimWrapper):
    """Leaves some steps out on purpose, as a gradient scaler does after an overflow."""

    def __init__(self, skipped=(), **options):
        super().__init__(**options)
        self.skipped, self.asked = skipped, 0

    def step(self, **options):
        self.asked += 1
        if self.asked not in self.skipped:
            super().step(**options)


@pytest.mark.parametrize('parts', [WHOLE, PARTS])
def test_a_step_that_is_left_out_moves_no_teacher(run, parts):
    """With Adam, which counts the steps that it makes."""
    adam = {'optim_wrapper.optimizer': dict(type='AdamW', lr=1e-3, _delete_=True)}
    runner, recorder = run(
        **parts, **adam, **{'optim_wrapper.type': 'SkippingOptimWrapper', 'optim_wrapper.skipped': (2, 5, 6)}
    )
    counted = {int(state['step']) for state in runner.optim_wrapper.optimizer.state.values()}
    assert runner.iter == runner.optim_wrapper.asked == 10
    assert counted == {int(runner.model.teacher.steps)} == {7}
    assert recorder.made == [step not in (2, 5, 6) for step in range(1, 11)]


def test_a_fused_optimiser_tells_itself_that_a_gradient_overflowed():
    """Its step is called all the same, with `found_inf` set by the gradient scaler."""
    parameter = torch.nn.Parameter(torch.zeros(1))

    class Model(torch.nn.Module):
        def train_step(self, data, optim_wrapper):
            parameter.grad = torch.ones(1)
            optimiser = optim_wrapper.optimizer
            optimiser.grad_scale, optimiser.found_inf = torch.tensor(1.0), data['found_inf']
            optimiser.step()
            del optimiser.grad_scale, optimiser.found_inf
            return {}

    steps = OptimiserSteps(Model(), OptimWrapper(torch.optim.SGD([parameter], lr=1.0, fused=True)))
    assert steps.was_made
    for overflow, expected in ((1.0, 0.0), (0.0, -1.0)):
        steps.take(dict(found_inf=torch.tensor(overflow), data_samples=[1]))
        assert steps.was_made == (overflow == 0)
        assert parameter.item() == expected


# -- parts ---------------------------------------------------------------------------------------------------------


def test_a_batch_is_merged_and_split_again():
    batches = [dict(inputs=torch.full((2, 3), float(i)), data_samples=[f'{i}a', f'{i}b']) for i in range(3)]
    batch = merged(batches)
    assert batch['data_samples'] == ['0a', '0b', '1a', '1b', '2a', '2b']
    labels = torch.arange(12).reshape(6, 2)
    batch['targets'] = Targets(labels, labels + 0.5, labels[:, 0] > 4, labels[:, 0] < 9, True)
    batch['features'] = torch.arange(6), torch.arange(6) * 2
    parts = split(batch, 3)
    assert [part['data_samples'] for part in parts] == [each['data_samples'] for each in batches]
    for index, part in enumerate(parts):
        torch.testing.assert_close(torch.stack(part['inputs']), batches[index]['inputs'])
        assert part['targets'].labels.tolist() == labels[2 * index : 2 * index + 2].tolist()
        assert part['targets'].whole is batch['targets']
        assert (part['targets'].parts, part['targets'].is_semi_supervised) == (3, True)
        assert part['features'][1].tolist() == [4 * index, 4 * index + 2]
    assert merged(batches[:1]) is batches[0]
    assert split(batches[0], 1) == [batches[0]]
    assert split(dict(batch, features=None), 3)[1]['features'] is None


def test_a_batch_in_another_form_names_the_function_that_made_it():
    with pytest.raises(ConfigError, match="collate_fn: found one that returns \\['img'\\], expected a dict of inputs"):
        merged([dict(img=1)])
    with pytest.raises(ConfigError, match='collate_fn: found one that returns list, expected'):
        merged([[1, 2]])


@pytest.mark.parametrize('value', [0, -1, 1.5, '2', True, None])
def test_numbers_of_batches_are_whole_and_positive(value):
    with pytest.raises(
        ConfigError, match='optim_wrapper.accumulative_counts: found .*, expected a whole number from 1'
    ):
        accumulation_of(dict(accumulative_counts=value))


# -- folds, and processes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize('skipped', [(), (2, 5)])
def test_a_fold_is_trained_as_the_runner_trains(tiny_config, skipped):
    """With no label held out, the folds' loop ends at the model that the runner's loop ended at."""
    clip = {'optim_wrapper.clip_grad': dict(type='value', clip_value=0.5)}
    wrapper = {'optim_wrapper.type': 'SkippingOptimWrapper', 'optim_wrapper.skipped': skipped}
    runner = CSSARunner.from_cfg(tiny_config(**PARTS | {key: SGD[key] for key in list(SGD)[2:]} | clip | wrapper))
    start = snapshot(runner.model)
    runner.train()
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
    algorithm = hook.semi_supervision
    unlabelled = algorithm.dataset.unlabelled_indices
    (fold,) = cross_fitted_readings(runner, algorithm, start, [unlabelled[:0]], unlabelled)
    assert algorithm.reader.scores_of(fold.references).tolist() == algorithm.score(unlabelled).tolist()


TWO_RANKS = """
import sys, torch
from mmengine.config import Config
from cssa_mm.engine.runner import CSSARunner
runner = CSSARunner.from_cfg(Config.fromfile(sys.argv[1]))
runner.train()
assert runner.distributed and runner.world_size == 2
state = {name: value for name, value in runner.model.module.state_dict().items() if not name.endswith('_extra_state')}
expected = torch.load(sys.argv[2])
for name, value in state.items():
    torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-6, msg=name)
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='where there is CUDA, each process has a GPU of its own')
@pytest.mark.parametrize('reduction', ['sum', 'mean'])
def test_two_processes_with_parts_are_one_without(run, two_ranks, tiny_config, tmp_path, reduction):
    options = {'model.loss.reduction': reduction}
    runner, _ = run(**WHOLE, **options)
    state = {name: value for name, value in runner.model.state_dict().items() if not name.endswith('_extra_state')}
    torch.save(state, tmp_path / 'expected.pth')
    config = tiny_config(**SGD | PARTS | options, launcher='pytorch', work_dir=str(tmp_path / 'two'))
    config.dump(tmp_path / 'config.py')
    two_ranks(TWO_RANKS, tmp_path / 'config.py', tmp_path / 'expected.pth')
