"""The rates that vis_scheduler draws, against torch's own schedulers over steps counted by hand."""

import math

import pytest
import torch

from cssa_mm.apis.toolbox.schedule import image_counts, simulated
from cssa_mm.errors import ConfigError
from cssa_mm.visualization.rate_figure import draw_rates
from cssa_mm.visualization.style import new_figure

# 40 training images, 16 labelled, batches of 8 with 2 labelled: a warm-up epoch has 2 steps, a later one 4.
LENGTHS = [2, 4, 4]


def plain_torch(rate, steps):
    """The rates of a cosine over all steps, from plain torch."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=0.01 * rate)
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]['lr'])
        optimiser.step()
        schedule.step()
    return rates


def test_each_step_of_both_phases_has_the_rate_of_plain_torch(tiny_config):
    config = tiny_config()
    record = simulated(config, *image_counts(config, None))
    assert record.epoch_steps == LENGTHS
    rate = config.optim_wrapper.optimizer.lr
    torch.testing.assert_close(record.rates['lr'], plain_torch(rate, sum(LENGTHS)), rtol=1e-9, atol=0)
    assert set(record.rates['wd']) == {config.optim_wrapper.optimizer.get('weight_decay', 0.01)}


def test_accumulated_batches_are_one_step(tiny_config):
    config = tiny_config(**{'optim_wrapper.accumulative_counts': 2})
    record = simulated(config, 16, 24)
    assert record.epoch_steps == [1, 2, 2]
    rate = config.optim_wrapper.optimizer.lr
    torch.testing.assert_close(record.rates['lr'], plain_torch(rate, 5), rtol=1e-9, atol=0)


def test_a_given_size_keeps_the_share_that_is_labelled(tiny_config):
    assert image_counts(tiny_config(), None) == (16, 24)
    assert image_counts(tiny_config(), 400) == (160, 240)
    assert image_counts(tiny_config(), 1) == (1, 0)
    with pytest.raises(ConfigError, match='--dataset-size: found 0'):
        image_counts(tiny_config(), 0)


def test_without_data_the_split_tells_the_share(tiny_config, tmp_path):
    nowhere = {'train_dataloader.dataset.data_root': str(tmp_path)}
    assert image_counts(tiny_config(**nowhere), 200) == (80, 120)
    with pytest.raises(ConfigError, match='which share of the images is labelled'):
        image_counts(tiny_config(**nowhere, **{'train_dataloader.dataset.split': None}), 200)


def test_the_picture_marks_warm_up_and_epochs_where_they_are():
    figure = new_figure(6, 4)
    draw_rates(figure, [0.1] * 10, LENGTHS, 1, 'rate', 'title')
    (axes,) = figure.axes
    (line,) = axes.lines
    assert line.get_xdata().tolist() == list(range(10))
    (patch,) = axes.patches
    assert math.isclose(patch.get_x() + patch.get_width(), LENGTHS[0] - 0.5)
    assert axes.child_axes[0].get_xticks().tolist() == [0, 2, 6, 10]
