"""A training that starts from a trained model: `load_from`, with the same classes or others."""

import json

import pytest
import torch

from cssa_mm.engine.cross_fitting import snapshot
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.engine.warm_start import start_of_resumed
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


@pytest.fixture
def checkpoint(tiny_config, tmp_path):
    """The path of a checkpoint whose numbers are not those that a training starts with, and its state dict."""
    model = CSSARunner.from_cfg(tiny_config()).model
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.state_dict(keep_vars=True).items():
            if value.is_floating_point():
                value.add_(torch.rand(value.shape, generator=generator) / 10)
            elif name.endswith('assignment'):
                value.copy_(torch.tensor([0, 0, 0, 0, 0, 1]))  # as no labels of these have it
    model.head.bias_is_calibrated.fill_(True)
    model.teacher.steps.fill_(1000)
    content = dict(state_dict=model.state_dict())
    torch.save(content, tmp_path / 'trained.pth')
    return str(tmp_path / 'trained.pth'), content['state_dict']


def test_what_rests_on_labels_is_found_anew_from_the_loaded_prompts(tiny_config, checkpoint, tmp_path):
    """The mean score of each class is its rate in these labels, by a sum of our own."""
    path, old = checkpoint
    second = trained(tiny_config(**NO_TRAINING, load_from=path))
    model = second.model
    assert torch.equal(model.head.class_prompts.context, old[CONTEXT])
    assert torch.equal(model.head.log_temperature, old['head.log_temperature'])
    (hook,) = (hook for hook in second.hooks if isinstance(hook, PseudoLabelHook))
    dataset, features = second.train_dataloader.dataset, hook.semi_supervision.features
    indices = dataset.labelled_indices
    scores = torch.cat([model.score(*batch, 'student') for batch in features.batches(indices, '')])
    labels = torch.as_tensor(dataset.labels[indices])
    expected = ((labels == 1).sum(0) + 0.5) / ((labels >= 0).sum(0) + 1)
    torch.testing.assert_close(scores.mean(0), expected, rtol=0, atol=1e-4)
    assert int(model.teacher.steps) == second.iter  # counted from 0
    average = old['teacher.class_prompts__context']
    for step in range(second.iter):
        average = average.lerp(model.head.class_prompts.context.detach(), 1 - (1 + step) / (10 + step))
    torch.testing.assert_close(model.teacher.get_buffer('class_prompts__context'), average)
    fresh = trained(tiny_config(**NO_TRAINING, work_dir=str(tmp_path / 'fresh')))
    assert torch.equal(model.context_head.assignment, fresh.model.context_head.assignment)
    assert not torch.equal(model.context_head.assignment, old['context_head.assignment'])
    line = next(line for line in log_of(tmp_path / 'run').splitlines() if 'Warm start' in line)
    assert f'Warm start: kept the prompts of 6 classes of {path}. Made anew from the labels of this run: bias, ' in line
    assert 'contexts, thresholds, calibration' in line


@pytest.mark.smoke
def test_a_class_more_keeps_the_prompts_of_the_others(tiny_config, other, checkpoint, tmp_path):
    path, old = checkpoint
    names = ['zebra', *reversed(NAMES[1:])]  # 'dog' is dropped, too
    with pytest.raises(CheckpointError, match="'zebra' is new; 'dog' is missing.*strict_classes=False keeps"):
        trained(other(names, **NO_TRAINING, load_from=path))
    runner = CSSARunner.from_cfg(other(names, **NO_TRAINING, load_from=path, strict_classes=False))
    fresh = runner.model.head.class_prompts.context.detach().clone()
    runner.train()
    context = runner.model.head.class_prompts.context
    for place, name in enumerate(names):
        assert torch.equal(context[place], fresh[0] if name == 'zebra' else old[CONTEXT][NAMES.index(name)])
    assert f'kept the prompts of 5 classes of {path}; new: zebra; dropped: dog. Made' in log_of(tmp_path / 'other')
    # What was saved is a checkpoint like any other: a resume or a test takes it with its own classes alone.
    saved = dict(load_from=runner.message_hub.get_info('last_ckpt'), strict_classes=False)
    for run in (CSSARunner.train, CSSARunner.test):
        foreign = CSSARunner.from_cfg(tiny_config(**NO_TRAINING, **saved, resume=run is CSSARunner.train))
        with pytest.raises(CheckpointError, match="'dog' is new; 'zebra' is missing"):
            run(foreign)
    longer = {'train_cfg.warmup_epochs': 2}
    assert trained(other(names, **NO_TRAINING | longer, **saved, resume=True)).iter == 2 * runner.iter


def test_a_resumed_run_holds_labels_out_from_the_start_of_the_first(other, checkpoint, tmp_path):
    names = [*NAMES, 'zebra']
    quick = SHORT | {'default_hooks.calibration.rule': 'f1', 'train_cfg.semi_epochs': 1}
    quick |= {'optim_wrapper.optimizer.lr': 0.2, 'load_from': checkpoint[0], 'strict_classes': False}
    whole = trained(other(names, **quick))
    assert whole.model.calibration.rule == 'platt'
    again = dict(resume=True, load_from=str(tmp_path / 'other/epoch_1.pth'), work_dir=str(tmp_path / 'resumed'))
    resumed = trained(other(names, **quick | again))
    assert resumed.model.calibration == whole.model.calibration
    assert resumed.model.thresholds == whole.model.thresholds
    assert all(torch.equal(value, snapshot(resumed.model)[name]) for name, value in snapshot(whole.model).items())
    assert f"the training started from '{checkpoint[0]}'" in log_of(tmp_path / 'resumed')


def test_a_start_that_is_gone_is_told(tiny_config, checkpoint, tmp_path):
    first = trained(tiny_config(**NO_TRAINING, load_from=checkpoint[0]))
    fresh = {'head.bias': torch.zeros(6)}
    assert set(start_of_resumed(first, snapshot(first.model))) == set(snapshot(first.model))
    (tmp_path / 'trained.pth').unlink()
    assert start_of_resumed(first, fresh) == fresh
    assert 'which is not there as it was' in log_of(tmp_path / 'run')


def test_strict_classes_is_a_truth_value(tiny_config, checkpoint):
    options = dict(load_from=checkpoint[0], strict_classes='no')
    with pytest.raises(ConfigError, match="strict_classes: found 'no', expected True or False"):
        trained(tiny_config(**NO_TRAINING, **options))
