import json
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

import cssa_mm
from cssa_mm.errors import CheckpointError, ConfigError


@pytest.mark.smoke
def test_a_training_returns_what_it_reached_and_where_it_lies(run):
    result = run.result
    assert result.checkpoint == result.work_dir / 'epoch_2.pth'
    assert result.checkpoint.is_file()
    assert (result.work_dir / 'pseudo_labels.jsonl').is_file()
    assert isinstance(result.runner, Runner)
    assert result.runner.epoch == 2
    assert 'runner' not in repr(result)


def test_the_metrics_are_those_of_the_last_validation(run):
    (log,) = run.result.work_dir.glob('*/vis_data/2*.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    validations = [line for line in lines if 'ema/mAP' in line]
    assert len(validations) == 2
    assert validations[0] != validations[1]
    expected = {key: value for key, value in validations[1].items() if key.startswith(('ema/', 'student/'))}
    assert expected
    assert run.result.metrics == pytest.approx(expected)
    assert all(type(value) is float for value in run.result.metrics.values())
    # The validation data are the test data here.
    assert run.result.metrics == pytest.approx({key: run.metrics[key] for key in run.result.metrics})


def test_without_validation_and_checkpoints_there_are_none(run, tiny_overrides, toy_data, tmp_path, plainly_written):
    # An earlier run's checkpoint is not this run's.
    (tmp_path / 'last_checkpoint').write_text(str(run.result.checkpoint))
    overrides = tiny_overrides(
        **{
            'model.context_head.num_contexts': 2,
            'train_cfg.semi_epochs': 0,
            'default_hooks.checkpoint': None,
        }
    )
    common = dict(config='cssa_coco_p05', data_root=toy_data, overrides=overrides, work_dir=tmp_path, device='cpu')
    result = cssa_mm.train(**common, validate=False)
    assert result.metrics == {}
    assert result.checkpoint is None
    assert result.runner.val_loop is None


def test_a_training_goes_on_from_its_checkpoint(run, tiny_overrides, toy_data, tmp_path, plainly_written):
    overrides = tiny_overrides(**{'model.context_head.num_contexts': 2, 'train_cfg.semi_epochs': 2})
    common = dict(config='cssa_coco_p05', data_root=toy_data, overrides=overrides, device='cpu')
    result = cssa_mm.train(**common, work_dir=tmp_path, resume=run.result.checkpoint)
    assert result.runner.epoch == 3
    assert result.checkpoint == tmp_path / 'epoch_3.pth'
    # 16 labelled images at 8 a step, then 24 unlabelled ones at 6 a step, twice.
    paths = (run.result.checkpoint, result.checkpoint)
    steps = [int(torch.load(path, weights_only=True)['state_dict']['teacher.steps']) for path in paths]
    assert steps == [2 + 4, 2 + 4 + 4]


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(device='tpu'), ConfigError, "device: found 'tpu', expected one of cpu, cuda, mps"),
        (dict(device='cuda'), ConfigError, "device: found 'cuda', which this machine lacks"),
        (dict(amp=True), ConfigError, '--amp: found no CUDA device'),
        (dict(auto_scale_lr=True), ConfigError, '--auto-scale-lr: found no auto_scale_lr.base_batch_size'),
        (dict(resume='nowhere.pth'), CheckpointError, "checkpoint: found no file 'nowhere.pth'"),
        (dict(config='cssa_coco_p5'), ConfigError, "config: found no file 'cssa_coco_p5'"),
    ],
)
def test_arguments_that_cannot_be_are_refused_in_one_line(
    tiny_overrides, toy_data, tmp_path, arguments, error, message, plainly_written
):
    if torch.cuda.is_available() and 'CUDA' in message + str(arguments).upper():
        pytest.skip('this machine has CUDA')
    overrides = tiny_overrides(**{'model.context_head.num_contexts': 2})
    common = dict(config='cssa_coco_p05', data_root=toy_data, overrides=overrides, work_dir=tmp_path)
    with pytest.raises(error) as found:
        cssa_mm.train(**(common | arguments))
    assert str(found.value).startswith(message)
    assert '\n' not in str(found.value)


def test_results_lie_in_a_folder_that_is_named_after_the_config():
    from cssa_mm.apis.training import work_dir_of

    config = cssa_mm.load_config('cssa_demo')
    assert Path(work_dir_of(config, None)) == Path('work_dirs/cssa_demo')
    config.work_dir = 'here'
    assert work_dir_of(config, None) == 'here'
    assert work_dir_of(config, Path('there')) == 'there'
