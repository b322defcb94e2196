"""A training that starts from a trained model: `load_from`, with the same classes or others."""

import json

import numpy as np
import pytest
import torch

from cssa_mm.engine.cross_fitting import snapshot
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import CheckpointError, ConfigError
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook

NAMES = ['dog', 'cat', 'traffic light', 'red bicycle', 'table', 'window frame']
SHORT = {'default_hooks.calibration.rule': 'none', 'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None}
NO_TRAINING = SHORT | {'train_cfg.warmup_epochs': 1, 'train_cfg.semi_epochs': 0, 'optim_wrapper.optimizer.lr': 0.0}
CONTEXT = 'head.class_prompts.context'


def trained(config):
    runner = CSSARunner.from_cfg(config)
    runner.train()
    return runner


def log_of(folder) -> str:
    return '\n'.join(path.read_text() for path in folder.glob('*/*.log'))


@pytest.fixture
def other(tiny_config, toy_data, tmp_path):
    """other(names, **overrides) -> the tiny config on data with these classes, 'zebra' on every second 'cat'."""

    def make(names, **overrides):
        options = {'model.class_names': names, 'work_dir': str(tmp_path / 'other')}
        for loader, part in (('train', 'train'), ('val', 'test'), ('test', 'test')):
            content = json.loads((toy_data / f'{part}.json').read_text())
            cats = [each for each in content['annotations'] if each['category_id'] == 2][::2]
            content['annotations'] += [dict(each, category_id=7) for each in cats]
            content['categories'] = [dict(id=[*NAMES, 'zebra'].index(name) + 1, name=name) for name in names]
            known = {each['id'] for each in content['categories']}
            content['annotations'] = [each for each in content['annotations'] if each['category_id'] in known]
            path = tmp_path / f'{part}_{len(names)}_{names[0]}.json'
            path.write_text(json.dumps(content))
            options |= {
                f'{loader}_dataloader.dataset.class_names': names,
                f'{loader}_dataloader.dataset.ann_file': str(path),
            }
        options |= overrides
        if 'val_dataloader' in overrides:
            options = {key: value for key, value in options.items() if not key.startswith('val_dataloader.')}
        return tiny_config(**options)

    return make


def test_the_bias_is_calibrated_anew_from_the_loaded_prompts(tiny_config, tmp_path):
    """Other labels of the same classes: the mean score of each class is its rate again, by a sum of our own."""
    first = trained(tiny_config(**SHORT))
    path = first.message_hub.get_info('last_ckpt')
    options = {'load_from': path, 'work_dir': str(tmp_path / 'other'), 'train_dataloader.dataset.split.seed': 7}
    second = trained(tiny_config(**NO_TRAINING, **options))
    model, old = second.model, first.model
    assert torch.equal(model.head.class_prompts.context, old.head.class_prompts.context)
    assert torch.equal(model.head.log_temperature, old.head.log_temperature)
    (hook,) = (hook for hook in second.hooks if isinstance(hook, PseudoLabelHook))
    dataset, features = second.train_dataloader.dataset, hook.semi_supervision.features
    indices = dataset.labelled_indices
    assert not np.array_equal(indices, first.train_dataloader.dataset.labelled_indices)
    scores = torch.cat([model.score(*batch, 'student') for batch in features.batches(indices, '')])
    labels = torch.as_tensor(dataset.labels[indices])
    expected = ((labels == 1).sum(0) + 0.5) / ((labels >= 0).sum(0) + 1)
    torch.testing.assert_close(scores.mean(0), expected, rtol=0, atol=1e-4)
    for own, start in zip(model.teacher.buffers(), old.teacher.buffers(), strict=True):
        assert own.shape == start.shape
    assert int(model.teacher.steps) == second.iter  # counted from 0
    line = next(line for line in log_of(tmp_path / 'other').splitlines() if 'Warm start' in line)
    assert f'Warm start: kept the prompts of 6 classes of {path}. Made anew from the labels of this run: bias, ' in line
    assert 'contexts, thresholds, calibration' in line


def test_contexts_follow_the_labels_of_the_run(tiny_config, tmp_path):
    first = trained(tiny_config(**NO_TRAINING))
    content = torch.load(first.message_hub.get_info('last_ckpt'), weights_only=True)
    true = content['state_dict']['context_head.assignment'].clone()
    content['state_dict']['context_head.assignment'] = 1 - true  # as labels might have said that are not these
    torch.save(content, tmp_path / 'swapped.pth')
    options = dict(load_from=str(tmp_path / 'swapped.pth'), work_dir=str(tmp_path / 'other'))
    second = trained(tiny_config(**NO_TRAINING, **options))
    assert torch.equal(second.model.context_head.assignment, true)


@pytest.mark.smoke
def test_a_class_more_keeps_the_prompts_of_the_others(tiny_config, other, tmp_path):
    first = trained(tiny_config(**SHORT))
    path = first.message_hub.get_info('last_ckpt')
    names = ['zebra', *reversed(NAMES[1:])]  # 'dog' is dropped, too
    with pytest.raises(CheckpointError, match="'zebra' is new; 'dog' is missing.*strict_classes=False keeps"):
        trained(other(names, **NO_TRAINING, load_from=path))
    second = trained(other(names, **NO_TRAINING, load_from=path, strict_classes=False))
    fresh = CSSARunner.from_cfg(other(names, **NO_TRAINING)).model.head.class_prompts.context
    context = second.model.head.class_prompts.context
    for place, name in enumerate(names):
        expected = fresh[0] if name == 'zebra' else first.model.head.class_prompts.context[NAMES.index(name)]
        assert torch.equal(context[place], expected)
    assert f'kept the prompts of 5 classes of {path}; new: zebra; dropped: dog. Made' in log_of(tmp_path / 'other')
    # What was saved is a checkpoint like any other: a resume takes it, and only with its own classes.
    saved = second.message_hub.get_info('last_ckpt')
    again = dict(resume=True, load_from=saved, strict_classes=False)
    with pytest.raises(CheckpointError, match="'dog' is new; 'zebra' is missing"):
        trained(tiny_config(**NO_TRAINING, **again))
    longer = {'train_cfg.warmup_epochs': 2}
    assert trained(other(names, **NO_TRAINING | longer, **again)).iter == 2 * second.iter


def test_a_test_takes_no_foreign_classes(tiny_config, other):
    first = trained(tiny_config(**NO_TRAINING))
    path = first.message_hub.get_info('last_ckpt')
    runner = CSSARunner.from_cfg(other([*NAMES, 'zebra'], load_from=path, strict_classes=False))
    with pytest.raises(CheckpointError, match="'zebra' is new"):
        runner.test()


def test_a_resumed_run_holds_labels_out_from_the_start_of_the_first(tiny_config, other, tmp_path):
    names = [*NAMES, 'zebra']
    path = trained(tiny_config(**SHORT)).message_hub.get_info('last_ckpt')
    quick = {'optim_wrapper.optimizer.lr': 0.2, 'load_from': path, 'strict_classes': False}
    whole = trained(other(names, **quick))
    assert whole.model.calibration.rule == 'platt'
    again = dict(resume=True, load_from=str(tmp_path / 'other/epoch_2.pth'), work_dir=str(tmp_path / 'resumed'))
    resumed = trained(other(names, **quick | again))
    assert resumed.model.calibration == whole.model.calibration
    assert resumed.model.thresholds == whole.model.thresholds
    assert all(torch.equal(value, snapshot(resumed.model)[name]) for name, value in snapshot(whole.model).items())
    assert f"the training started from '{path}'" in log_of(tmp_path / 'resumed')
    (tmp_path / 'run' / 'epoch_3.pth').unlink()
    trained(other(names, **quick | again | dict(work_dir=str(tmp_path / 'gone'))))
    assert 'which is not there as it was' in log_of(tmp_path / 'gone')


def test_a_run_of_its_own_started_from_nothing(tiny_config):
    first = trained(tiny_config(**NO_TRAINING, experiment_name='one'))
    path = first.message_hub.get_info('last_ckpt')
    assert 'started_from' not in first.message_hub.runtime_info
    loaded = trained(tiny_config(**NO_TRAINING, load_from=path, experiment_name='one'))
    assert loaded.message_hub.get_info('started_from') == path
    third = trained(tiny_config(**NO_TRAINING, experiment_name='one'))
    assert 'started_from' not in third.message_hub.runtime_info


def test_strict_classes_is_a_truth_value(tiny_config):
    first = trained(tiny_config(**NO_TRAINING))
    options = dict(load_from=first.message_hub.get_info('last_ckpt'), strict_classes='no')
    with pytest.raises(ConfigError, match="strict_classes: found 'no', expected True, or False"):
        trained(tiny_config(**NO_TRAINING, **options))
