"""Which steps are logged: counted in the scalars that the logger writes."""

import json

import pytest

from cssa_mm.engine.runner import CSSARunner


@pytest.fixture
def logged(tiny_config, tmp_path):
    """logged(labelled=16, epochs=4, interval=10) -> steps of the log, and what it says of the last one."""

    def run(epochs: int, interval: int, proportion: float = 0.4, **overrides) -> tuple[list[int], dict]:
        options = {
            'train_cfg.warmup_epochs': epochs,
            'train_cfg.semi_epochs': 0,
            'train_cfg.val_begin': epochs + 1,
            'val_dataloader': None,
            'val_cfg': None,
            'val_evaluator': None,
            'train_dataloader.dataset.split': dict(proportion=proportion, seed=1),
            'default_hooks.logger.interval': interval,
            'default_hooks.checkpoint': dict(type='CheckpointHook', interval=1000, save_last=False),
        }
        CSSARunner.from_cfg(tiny_config(**options | overrides)).train()
        (path,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        steps = [line for line in lines if 'loss' in line]
        return [line['step'] for line in steps], steps[-1]

    return run


@pytest.mark.parametrize(
    ('proportion', 'epochs', 'expected'),
    [
        (0.4, 12, [10, 20, 24]),  # 16 labelled images: two steps an epoch
        (0.6, 9, [10, 20, 27]),  # 24: three, so that no epoch ends at step 10
        (0.4, 5, [10]),
        (0.4, 3, [6]),
    ],
)
def test_short_epochs_are_logged_every_ten_steps_of_the_training_and_at_its_end(logged, proportion, epochs, expected):
    steps, last = logged(epochs, 10, proportion)
    assert steps == expected
    assert {'loss', 'lr', 'time'} <= set(last)


def test_an_interval_of_one_logs_every_step(logged):
    assert logged(3, 1)[0] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize('interval', [2, 3])
def test_epochs_as_long_as_the_interval_are_logged_as_mmengine_does(logged, interval):
    """Five steps each, from 40 labelled images: mmengine counts the steps of the epoch."""
    split = {'train_dataloader.dataset.split': None}
    expected = {2: [2, 4, 7, 9], 3: [3, 8]}[interval]
    assert logged(2, interval, **split)[0] == expected
