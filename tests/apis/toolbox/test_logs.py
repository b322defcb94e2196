"""Curves and times of a log with epochs of two lengths."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest

from cssa_mm.apis.toolbox.logs import draw_curves, run, tell_times
from cssa_mm.errors import ConfigError

LOG = dict(
    train=[
        dict(epoch=1, step=2, loss=5.0, time=9.0),
        dict(epoch=2, step=4, loss=4.0, loss_unlabelled=1.0, time=3.0),
        dict(epoch=2, step=6, loss=3.0, loss_unlabelled=0.5, time=1.0),
    ],
    val=[{'step': 2, 'ema/mAP': 40.0}, {'step': 3, 'ema/mAP': 50.0}],
)
OPTIONS = SimpleNamespace(json_logs=['a.json'], include_outliers=False)


@pytest.fixture
def curve():
    """curve(metric) -> (x, y, label of the axis) of what is drawn."""

    def draw(metric):
        plt.figure()
        draw_curves([LOG], [metric], OPTIONS, ['label'])
        (line,) = plt.gca().lines
        found = line.get_xdata().tolist(), line.get_ydata().tolist(), plt.gca().get_xlabel()
        plt.close()
        return found

    return draw


def test_training_is_drawn_over_its_steps_also_what_the_warm_up_has_not(curve):
    assert curve('loss') == ([2, 4, 6], [5.0, 4.0, 3.0], 'Iters')
    assert curve('loss_unlabelled') == ([4, 6], [1.0, 0.5], 'Iters')
    assert curve('ema/mAP') == ([2, 3], [40.0, 50.0], 'Epochs')
    with pytest.raises(ConfigError, match="'ema/map'.*Did you mean 'ema/mAP'"):
        curve('ema/map')


def test_an_epoch_with_one_line_has_a_time_too(capsys):
    tell_times([LOG], OPTIONS)
    text = capsys.readouterr().out
    assert 'slowest epoch 1, average time is 9.0000' in text
    assert 'fastest epoch 2, average time is 1.0000' in text
    assert 'average iter time: 4.3333' in text
    with pytest.raises(ConfigError, match='found no line of a training'):
        tell_times([dict(train=[], val=[])], OPTIONS)


@pytest.mark.parametrize(('name', 'found'), [('train.log', "found 'train.log'"), ('none.json', "found no 'none.json'")])
def test_what_is_no_log_of_numbers_is_refused_with_where_it_is(tmp_path, monkeypatch, name, found):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'train.log').touch()
    tool = SimpleNamespace(parse_args=lambda: SimpleNamespace(json_logs=[name]))
    with pytest.raises(ConfigError, match=f'{found}, expected .*vis_data/scalars.json'):
        run(tool)
