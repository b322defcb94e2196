"""Pseudo-labels that collapse are announced once, with their class."""

import json
from pathlib import Path

import pytest
from mmengine.hooks import Hook

from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

ALONE = {'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None, 'default_hooks.calibration': None}
EVERYWHERE = {'default_hooks.pseudo_labels.policy': dict(name='fixed', positive=1e-5, negative=1e-6)}
NOWHERE = {'default_hooks.pseudo_labels.policy': dict(name='fixed', positive=0.99999, negative=0.9999)}
MASKED = {'default_hooks.pseudo_labels.policy': dict(name='fixed', positive=0.99999, negative=0.00001)}


@pytest.fixture(autouse=True)
def unformatted(monkeypatch):
    monkeypatch.setattr('mmengine.config.config.FormatCode', lambda text, **options: (text, True), raising=False)


@pytest.fixture
def warnings_of(tiny_config, tmp_path):
    """warnings_of(**overrides) -> the lines of a training's log that the hook has written, and its records."""

    def train(*hooks, **overrides):
        runner = CSSARunner.from_cfg(tiny_config(**ALONE | overrides))
        for hook in hooks:
            runner.register_hook(hook)
        runner.train()
        text = ''.join(log.read_text() for log in Path(runner.work_dir).glob('*/*.log'))
        records = [json.loads(line) for line in (tmp_path / 'run' / 'pseudo_labels.jsonl').read_text().splitlines()]
        return [line for line in text.splitlines() if 'Likely cause' in line], records

    return train


@pytest.mark.parametrize(('policy', 'words'), [(EVERYWHERE, 'nearly everywhere'), (NOWHERE, 'no pseudo-positives')])
def test_classes_that_collapse_for_two_epochs_are_told_once_by_name(warnings_of, policy, words):
    lines, records = warnings_of(**policy, **{'train_cfg.semi_epochs': 3})
    assert len(records) == 3
    (line,) = lines
    assert f'{words} for 2 epochs' in line
    assert line.count(' labelled)') == len(records[0]['class_names'])
    assert all(f"'{name}'" in line for name in records[0]['class_names'])


def test_two_epochs_are_needed_and_a_resumed_run_remembers_the_first(warnings_of, tmp_path):
    assert warnings_of(**NOWHERE, **{'train_cfg.semi_epochs': 1})[0] == []
    path = str(tmp_path / 'run' / 'epoch_2.pth')
    lines, records = warnings_of(**NOWHERE, resume=True, load_from=path)
    assert [record['epoch'] for record in records] == [2, 3]
    assert len(lines) == 1


def test_sound_pseudo_labels_are_not_warned_of(warnings_of):
    assert warnings_of()[0] == []


def test_unlabelled_images_that_teach_nothing_are_told(warnings_of):
    lines, _ = warnings_of(**MASKED, **{'default_hooks.collapse.epochs': 9})
    (line,) = lines
    assert 'loss_unlabelled: found 0 in all steps of epoch 2, so that the unlabelled images teach nothing' in line
    assert 'Likely cause: no cell has a pseudo-label' in line


def test_a_weight_of_0_is_what_was_asked_for(warnings_of):
    assert warnings_of(**{'model.unlabelled_weight': 0.0})[0] == []


def test_an_epoch_whose_loss_is_0_in_some_steps_is_none(warnings_of):
    class Zero(Hook):
        priority = 'VERY_HIGH'

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if batch_idx and 'loss_unlabelled' in outputs:
                outputs['loss_unlabelled'] = outputs['loss_unlabelled'] * 0

    assert warnings_of(Zero())[0] == []


@pytest.mark.parametrize('value', [0, -1, 1.5, True])
def test_epochs_are_whole_and_positive(tiny_config, value):
    with pytest.raises(ConfigError, match=f'default_hooks.collapse.epochs: found {value!r}, expected a whole number'):
        CSSARunner.from_cfg(tiny_config(**{'default_hooks.collapse.epochs': value}))
