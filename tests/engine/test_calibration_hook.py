"""What the hook does where labels, folds or checkpoints are not as usual."""

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

import cssa_mm
from cssa_mm.engine import CSSARunner
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.engine.cross_fitting import cross_fitted_readings, snapshot
from cssa_mm.evaluation.held_out_scores import read_held_out
from cssa_mm.semi import PseudoLabelHook
from cssa_mm.semi.semi_supervision import SemiSupervision

QUICK = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
PARTS = {'model.evidence': dict(type='DiscriminantEvidence'), 'model.neighbours': dict(type='Neighbours', k=5)}
NO_CALIBRATION = {'default_hooks.calibration': None}


class Do(Hook):
    """Does something at some moment of a training."""

    priority = 'VERY_HIGH'

    def __init__(self, moment, action):
        setattr(self, moment, action)


def trained(config, **moments):
    runner = CSSARunner.from_cfg(config)
    for moment, action in moments.items():
        runner.register_hook(Do(moment, action))
    runner.train()
    return runner


def log_of(folder):
    (path,) = folder.rglob('*.log')
    return path.read_text()


def test_labels_of_one_group_cannot_be_held_out(tiny_config, tmp_path):
    """The one fold would be all of them, and its training had none."""

    def one_group(runner):
        dataset = runner.train_dataloader.dataset
        dataset.groups = dict.fromkeys(dataset.image_ids, 'one walk')

    runner = trained(tiny_config(**QUICK), before_train=one_group)
    assert (runner.model.thresholds.rule, runner.model.calibration.rule) == ('rate', 'none')
    assert 'do not make 2 folds; thresholds follow the rates' in log_of(tmp_path)


def test_held_out_scores_of_every_labelled_image_stay_in_the_work_directory(tiny_config, tmp_path):
    """Those of an earlier run in the same directory don't, if this one finds none."""
    runner = trained(tiny_config(**QUICK))
    dataset, found = runner.train_dataloader.dataset, read_held_out(tmp_path / 'run')
    indices = [dataset.image_ids.index(image_id) for image_id in found.image_ids]
    assert sorted(indices) == dataset.labelled_indices.tolist()
    assert list(found.class_names) == dataset.class_names
    np.testing.assert_array_equal(found.labels, dataset.labels[indices])
    assert found.scores.std() > 0
    trained(tiny_config(**QUICK, **NO_CALIBRATION))
    assert read_held_out(tmp_path / 'run') is None


def test_labels_without_a_negative_give_no_thresholds(tiny_config, tmp_path):
    """By its rate each class would be given to nearly every image."""

    def positives_alone(runner):
        labels = runner.train_dataloader.dataset.labels
        labels[labels == 0] = -1

    runner = trained(tiny_config(**QUICK), before_train=positives_alone)
    assert runner.model.thresholds == type(runner.model.thresholds).default(6)
    assert 'WARNING - Thresholds: .5 for every class on raw scores, as no label' in log_of(tmp_path)


def test_a_checkpoint_by_steps_holds_the_thresholds_too(tiny_config, tmp_path):
    by_steps = {'default_hooks.checkpoint.by_epoch': False, 'default_hooks.checkpoint.interval': 4}
    runner = trained(tiny_config(**QUICK, **by_steps))
    path = runner.message_hub.get_info('last_ckpt')
    assert path.endswith('iter_10.pth')
    assert cssa_mm.load_model(path).thresholds == runner.model.thresholds
    assert cssa_mm.load_model(tmp_path / 'run' / 'iter_8.pth').thresholds.rule == 'default'
    assert torch.load(path, weights_only=True)['meta']['iter'] == 10


def test_a_training_that_ends_early_says_that_it_has_no_thresholds(tiny_config, tmp_path):
    def stop(runner):
        runner.train_loop.stop_training = True

    runner = trained(tiny_config(**QUICK), after_train_epoch=stop)
    assert runner.model.thresholds.rule == 'default'
    assert 'the training ended after 1 of 3 epochs, before thresholds were found' in log_of(tmp_path)


def test_thresholds_of_the_model_at_the_start_do_not_stay(tiny_config, tmp_path):
    first = trained(tiny_config(**QUICK))
    assert first.model.thresholds.rule == 'f1'
    options = dict(QUICK, load_from=first.message_hub.get_info('last_ckpt'))
    other = trained(tiny_config(**options, **NO_CALIBRATION, work_dir=str(tmp_path / 'other')))
    assert (other.model.thresholds.rule, other.model.calibration.rule) == ('default', 'none')
    assert other.model.zero_shot is None


def test_a_start_that_may_have_seen_the_labels_is_warned_of(tiny_config, tmp_path):
    first = trained(tiny_config(**QUICK, **NO_CALIBRATION))
    path = first.message_hub.get_info('last_ckpt')
    trained(tiny_config(**QUICK, load_from=path, work_dir=str(tmp_path / 'other')))
    assert f"the training started from '{path}'" in log_of(tmp_path / 'other')


@pytest.mark.parametrize(
    'options',
    [dict(auto_scale_lr=dict(enable=True, base_batch_size=2)), {'optim_wrapper.accumulative_counts': 3}],
    ids=['scaled learning rate', 'accumulated gradients'],
)
def test_folds_follow_the_options_of_the_optimiser(tiny_config, options):
    """With no label held out a fold ends where the training ended, whatever gradients that left behind."""
    runner = CSSARunner.from_cfg(tiny_config(**QUICK, **NO_CALIBRATION, **options))
    start = snapshot(runner.model)
    runner.train()
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
    algorithm, scored = hook.semi_supervision, hook.semi_supervision.dataset.unlabelled_indices
    for parameter in runner.model.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    (fold,) = cross_fitted_readings(runner, algorithm, start, [np.array([], dtype=int)], scored)
    np.testing.assert_array_equal(fold.references, algorithm.reader.read(scored))


@pytest.mark.parametrize('folds', [0, 3])
def test_weights_of_the_finished_model_rest_on_prompts_that_did_not_see_the_labels(tiny_config, monkeypatch, folds):
    """And thresholds on scores by the same weights. Without folds, the weights are those of the fit."""
    stacked, applied, read = [], [], []
    stack, apply = SemiSupervision.stack_held_out, CalibrationHook.apply

    def spy(self, indices, tuned):
        before = self.model.evidence.weights.clone()
        stack(self, indices, tuned)
        stacked.append((indices, tuned, before, self.model.evidence.weights.clone()))

    monkeypatch.setattr(SemiSupervision, 'stack_held_out', spy)
    monkeypatch.setattr(
        'cssa_mm.engine.calibration_hook.cross_fitted_readings',
        lambda *given: read.extend(cross_fitted_readings(*given)) or read,
    )
    monkeypatch.setattr(CalibrationHook, 'apply', lambda *given: applied.append(given[2]) or apply(*given))
    runner = trained(tiny_config(**QUICK, **PARTS, **{'default_hooks.calibration.folds': folds}))
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
    algorithm, evidence = hook.semi_supervision, runner.model.evidence
    if not folds:
        assert (stacked, applied) == ([], [[]])
        return
    ((indices, tuned, before, after),) = stacked
    assert np.array_equal(np.sort(indices), algorithm.dataset.labelled_indices)
    assert not torch.equal(before, after)
    assert torch.equal(evidence.weights, after)
    saved = torch.load(runner.message_hub.get_info('last_ckpt'), weights_only=True)['state_dict']
    assert torch.equal(saved['evidence.weights'], after)
    # The finished model has seen these labels: its prompts say something else.
    own = algorithm.reader.read(indices)[:, 1]
    assert (tuned - own).abs().max() > 1e-2
    (found,) = applied
    assert np.array_equal(np.concatenate([fold.held_out for fold in found]), indices)
    for fold, reading in zip(found, read, strict=True):
        np.testing.assert_array_equal(fold.scores, algorithm.reader.scores_of(reading.readings))
        np.testing.assert_array_equal(fold.references, algorithm.reader.scores_of(reading.references))


RANKS = """
import sys
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object
import cssa_mm
from cssa_mm.engine import CSSARunner
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.engine.cross_fitting import cross_fitted_readings, snapshot
from cssa_mm.semi import PseudoLabelHook
torch.set_num_threads(1)
runner = CSSARunner.from_cfg(Config.fromfile(sys.argv[1]))
start = snapshot(runner.model)
runner.train()
found = all_gather_object((runner.model.module.thresholds, runner.model.module.calibration))
assert found[0] == found[1] and found[0][0].rule == 'f1', found
learned = all_gather_object([*runner.model.module.evidence.buffers(), *runner.model.module.neighbours.buffers()])
assert all(map(torch.equal, *learned)), learned
(hook,) = (hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
algorithm, scored = hook.semi_supervision, hook.semi_supervision.dataset.unlabelled_indices
start = {name.removeprefix('module.'): value for name, value in start.items()}
(fold,) = cross_fitted_readings(runner, algorithm, start, [np.array([], dtype=int)], scored)
np.testing.assert_array_equal(fold.references, algorithm.reader.read(scored))
"""


@pytest.mark.slow
def test_two_processes_find_the_same_thresholds_and_train_folds_as_they_train(tiny_config, two_ranks, tmp_path):
    tiny_config(**QUICK, **PARTS, launcher='pytorch').dump(tmp_path / 'config.py')
    two_ranks(RANKS, tmp_path / 'config.py')
