"""Folds that did not see their labels, and a finished model that comes back untouched."""

import copy

import numpy as np
import pytest
import torch

import cssa_mm
from cssa_mm.engine import CSSARunner
from cssa_mm.engine.cross_fitting import cross_fitted_readings, deal_folds, restore, snapshot
from cssa_mm.errors import ConfigError
from cssa_mm.semi import PseudoLabelHook

# The parts of cssa_plus that are fitted: none, one, the other, both.
PARTS = {
    'prompts': {},
    'evidence': {'model.evidence': dict(type='DiscriminantEvidence')},
    'neighbours': {'model.neighbours': dict(type='Neighbours', k=5)},
}
PARTS['both'] = PARTS['evidence'] | PARTS['neighbours']


@pytest.fixture(scope='module')
def trained(request, tmp_path_factory):
    """trained(config, 'both') -> a finished tiny run and its algorithm, with features kept; made once for each."""
    known = {}

    def make(tiny_config, parts):
        if parts not in known:
            options = {'default_hooks.checkpoint': None, 'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}
            options |= PARTS[parts]
            folder = tmp_path_factory.mktemp('run')
            runner = CSSARunner.from_cfg(tiny_config(**options, work_dir=str(folder)))
            start = snapshot(runner.model)
            runner.train()
            (hook,) = (hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook))
            known[parts] = runner, hook.semi_supervision, start
        return known[parts]

    return make


def readings_of_folds(runner, algorithm, start, folds):
    found = cross_fitted_readings(runner, algorithm, start, folds, algorithm.dataset.unlabelled_indices)
    return list(found)


@pytest.mark.smoke
@pytest.mark.parametrize('parts', PARTS)
def test_labels_of_a_fold_reach_its_readings_in_no_way(trained, tiny_config, parts):
    """Turning every label of a fold around changes none of its readings."""
    runner, algorithm, start = trained(tiny_config, parts)
    folds = deal_folds(algorithm.dataset, 2, seed=0)
    plain = readings_of_folds(runner, algorithm, start, folds)
    other = copy.copy(algorithm)
    other.dataset = copy.copy(algorithm.dataset)
    for name in ('labels', 'hidden_labels'):
        turned = getattr(algorithm.dataset, name).copy()
        turned[folds[0]] = 1 - turned[folds[0]]
        setattr(other.dataset, name, turned)
    changed = readings_of_folds(runner, other, start, folds)
    np.testing.assert_array_equal(changed[0].readings, plain[0].readings)
    np.testing.assert_array_equal(changed[0].references, plain[0].references)
    assert not np.array_equal(changed[1].readings, plain[1].readings)  # the other fold learned from them


def test_the_finished_model_and_the_random_numbers_stay(trained, tiny_config):
    runner, algorithm, start = trained(tiny_config, 'both')
    before, generator = snapshot(runner.model), torch.get_rng_state()
    bank, stale = algorithm.state.bank, algorithm.state.evidence_is_stale
    readings_of_folds(runner, algorithm, start, deal_folds(algorithm.dataset, 2, seed=0))
    after = snapshot(runner.model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(generator, torch.get_rng_state())
    assert (algorithm.state.bank, algorithm.state.evidence_is_stale) == (bank, stale)
    assert (algorithm.dataset.labels[algorithm.dataset.labelled_indices] >= 0).all()


def test_a_fold_is_trained_as_the_runner_trains(trained, tiny_config):
    """With no label held out, the folds' loop ends at the model that the runner's loop ended at."""
    runner, algorithm, start = trained(tiny_config, 'both')
    nothing = np.array([], dtype=int)
    (fold,) = readings_of_folds(runner, algorithm, start, [nothing])
    expected = algorithm.reader.read(algorithm.dataset.unlabelled_indices)
    np.testing.assert_array_equal(fold.references, expected)


def test_a_snapshot_restores_everything_that_a_score_depends_on(trained, tiny_config):
    runner, algorithm, start = trained(tiny_config, 'both')
    finished = snapshot(runner.model)
    restore(runner.model, start)
    unlabelled = algorithm.dataset.unlabelled_indices
    begun = algorithm.score(unlabelled)
    restore(runner.model, finished)
    assert not torch.equal(begun, algorithm.score(unlabelled))


def test_folds_hold_each_labelled_image_once_and_are_alike(trained, tiny_config):
    _, algorithm, _ = trained(tiny_config, 'prompts')
    dataset = algorithm.dataset
    folds = deal_folds(dataset, 4, seed=3)
    assert np.array_equal(np.sort(np.concatenate(folds)), dataset.labelled_indices)
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    counts = np.stack([(dataset.labels[fold] == 1).sum(0) for fold in folds])
    assert (counts.max(0) - counts.min(0)).max() <= 3
    assert all(map(np.array_equal, folds, deal_folds(dataset, 4, seed=3)))


def test_images_of_a_group_stay_in_one_fold(trained, tiny_config):
    _, algorithm, _ = trained(tiny_config, 'prompts')
    dataset = copy.copy(algorithm.dataset)
    labelled = dataset.labelled_indices
    dataset.groups = {dataset.image_ids[index]: f'walk {position // 4}' for position, index in enumerate(labelled)}
    folds = deal_folds(dataset, 2, seed=0)
    groups = [{dataset.groups[dataset.image_ids[index]] for index in fold} for fold in folds]
    assert not set.intersection(*groups)


# -- the hook --------------------------------------------------------------------------------------------------


def options(**calibration):
    return {f'default_hooks.calibration.{key}': value for key, value in calibration.items()}


def test_a_trained_checkpoint_holds_what_was_found(tiny_config, tmp_path):
    runner = CSSARunner.from_cfg(tiny_config())
    runner.train()
    model = cssa_mm.load_model(runner.message_hub.get_info('last_ckpt'))
    assert model.thresholds == runner.model.thresholds
    assert (model.thresholds.rule, model.calibration.rule) == ('f1', 'platt')
    assert sum(model.thresholds.positives) == int((runner.train_dataloader.dataset.labels == 1).sum())


def test_a_resumed_run_finds_the_same(tiny_config, tmp_path):
    whole = CSSARunner.from_cfg(tiny_config())
    whole.train()
    resumed = CSSARunner.from_cfg(
        tiny_config(resume=True, load_from=str(tmp_path / 'run' / 'epoch_2.pth'), work_dir=str(tmp_path / 'resumed'))
    )
    resumed.train()
    assert resumed.model.thresholds == whole.model.thresholds
    assert resumed.model.calibration == whole.model.calibration


@pytest.mark.parametrize(
    ('calibration', 'rule', 'scores'),
    [(dict(folds=0), 'rate', 'none'), (dict(rule='none'), 'default', 'none'), (dict(rule='one'), 'one', 'platt')],
)
def test_rules_of_the_config(tiny_config, calibration, rule, scores):
    runner = CSSARunner.from_cfg(tiny_config(**options(**calibration)))
    runner.train()
    assert (runner.model.thresholds.rule, runner.model.calibration.rule) == (rule, scores)


def test_without_kept_features_thresholds_follow_the_rates(tiny_config, caplog):
    runner = CSSARunner.from_cfg(tiny_config(**{'default_hooks.pseudo_labels.feature_cache.gib': 0}))
    runner.train()
    assert (runner.model.thresholds.rule, runner.model.calibration.rule) == ('rate', 'none')


@pytest.mark.parametrize(
    ('calibration', 'message'),
    [(dict(rule='f2'), "found 'f2', expected 'f1'"), (dict(folds=1), 'found 1'), (dict(folds='two'), "'two'")],
)
def test_wrong_options_are_refused(tiny_config, calibration, message):
    with pytest.raises(ConfigError, match=message):
        CSSARunner.from_cfg(tiny_config(**options(**calibration)))


def test_an_image_that_lost_its_labels_is_in_no_fold(trained, tiny_config):
    """A bad labelled image has none any more; the training must not stop after its last epoch."""
    _, algorithm, _ = trained(tiny_config, 'prompts')
    dataset = copy.copy(algorithm.dataset)
    lost = dataset.labelled_indices[3]
    dataset.labels = dataset.labels.copy()
    dataset.labels[lost] = -1
    folds = deal_folds(dataset, 2, seed=0)
    assert np.array_equal(np.sort(np.concatenate(folds)), np.setdiff1d(dataset.labelled_indices, [lost]))
