import json
import pickle

import pytest
import torch

pytestmark = pytest.mark.cli


@pytest.mark.smoke
def test_training_writes_checkpoints_of_plain_data_and_labels_every_semi_supervised_epoch(trained):
    assert trained.checkpoint == trained.work_dir / 'epoch_3.pth'
    checkpoint = torch.load(trained.checkpoint, weights_only=True)
    assert checkpoint['meta']['epoch'] == 3
    assert [len([step for step in trained.steps if step['epoch'] == epoch]) for epoch in (1, 2, 3)] == [2, 4, 4]
    assert [epoch['epoch'] for epoch in trained.pseudo_labels] == [2, 3]
    assert all(('loss_unlabelled' in step) == (step['epoch'] > 1) for step in trained.steps)
    start = torch.load(trained.work_dir / 'epoch_1.pth', weights_only=True)['state_dict']
    learned = [name for name, value in checkpoint['state_dict'].items() if not torch.equal(value, start[name])]
    assert {'head.class_prompts.context', 'head.semantic_prompts.context', 'head.bias'} <= set(learned)


@pytest.mark.smoke
def test_the_test_command_gives_the_figures_of_the_last_validation(trained, tool, config, tmp_path):
    out = tmp_path / 'metrics.json'
    tool('test.py', config, trained.checkpoint, '--work-dir', tmp_path, '--out', out, '--out-item', 'metrics')
    found = json.loads(out.read_text())
    assert len(trained.validations) == 1
    assert found == trained.validations[0]
    assert {'ema/mAP', 'ema/CF1', 'ema/OF1', 'student/mAP'} <= set(found)
    assert 0 < found['ema/mAP'] < 100


def test_the_untrained_model_is_tested_without_a_checkpoint_and_predictions_are_written(
    trained, tool, config, tmp_path
):
    out = tmp_path / 'predictions.pkl'
    tool('test.py', config, 'none', '--work-dir', tmp_path, '--out', out)
    predictions = pickle.loads(out.read_bytes())
    assert len(predictions) == 12
    assert all(sample['pred_score'].shape == (6,) for sample in predictions)


def test_other_numbers_of_workers_give_bitwise_the_same_weights(trained, tool, config, read_run, differing, tmp_path):
    options = ['train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True']
    options += ['default_hooks.pseudo_labels.num_workers=2']
    tool('train.py', config, '--work-dir', tmp_path, '--cfg-options', *options)
    again = read_run(tmp_path)
    assert differing(trained.checkpoint, again.checkpoint) == []
    assert [step['loss'] for step in again.steps] == [step['loss'] for step in trained.steps]
    assert again.pseudo_labels == trained.pseudo_labels


def test_the_same_command_twice_gives_bitwise_the_same_weights(trained, tool, config, differing, tmp_path):
    tool('train.py', config, '--work-dir', tmp_path)
    assert differing(trained.checkpoint, tmp_path / 'epoch_3.pth') == []


@pytest.mark.parametrize('epoch', [1, 2])
def test_a_resumed_run_ends_in_bitwise_the_same_weights(trained, tool, config, read_run, differing, tmp_path, epoch):
    """The first boundary lies between warm-up and semi-supervision, the second inside of the latter."""
    stopped = tmp_path / f'epoch_{epoch}.pth'
    stopped.write_bytes((trained.work_dir / stopped.name).read_bytes())
    if epoch == 1:
        tool('train.py', config, '--work-dir', tmp_path, '--resume', stopped)
    else:  # without a path: what the work directory calls its latest
        (tmp_path / 'last_checkpoint').write_text(str(stopped))
        tool('train.py', config, '--work-dir', tmp_path, '--resume')
    resumed = read_run(tmp_path)
    assert [step['epoch'] for step in resumed.steps] == [2] * 4 * (epoch == 1) + [3] * 4
    assert differing(trained.checkpoint, resumed.checkpoint) == []
    assert resumed.validations == trained.validations
    assert resumed.pseudo_labels == trained.pseudo_labels[epoch - 1 :]


def test_no_workers_need_no_word_about_persistent_workers(tool, config, tmp_path):
    """The shipped configs keep their workers alive; torch refuses that where there is none."""
    options = ['train_dataloader.persistent_workers=True', 'val_dataloader.persistent_workers=True']
    options += ['train_cfg.warmup_epochs=1', 'train_cfg.semi_epochs=0', 'train_cfg.val_begin=1']
    tool('train.py', config, '--work-dir', tmp_path, '--cfg-options', *options)
    assert (tmp_path / 'epoch_1.pth').is_file()
