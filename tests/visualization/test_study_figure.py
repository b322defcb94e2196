import matplotlib.pyplot as plt
import numpy as np
import pytest

from cssa_mm.visualization.study_figure import draw_study, study_figure


def statistics(mean, error=0.5):
    return dict(mean=mean, standard_error=error, values=[mean - 1, mean + 1])


def entry(name, mean, line=None, x=None, baseline=None, difference=None):
    return dict(
        name=name,
        title=line or name,
        line=line,
        x=x,
        mAP=statistics(mean),
        baseline=baseline,
        difference=None if difference is None else statistics(difference, 0.1),
    )


def summary(*rows, title='A study'):
    return dict(title=title, x_label='size', seeds=[1, 2], rows=list(rows))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close('all')


def drawn_lines(figure):
    """Label -> y values of each error-bar line."""
    containers = figure.axes[0].containers
    return {container.get_label(): list(container.lines[0].get_ydata()) for container in containers}


def test_lines_that_have_one_row_as_baseline_are_drawn_as_paired_differences():
    rows = [entry('none', 70)]
    rows += [entry(f'a@{x}', 70 + x, 'a', x, 'none', 0.25 * x) for x in (2, 4)]
    figure = study_figure(summary(*rows))
    assert drawn_lines(figure) == {'a': [0.5, 1.0]}
    assert figure.axes[0].get_ylabel() == 'mAP minus that of: none'
    low, high = figure.axes[0].get_ylim()
    assert low < 0 < 1.1 < high < 2


def test_lines_that_are_compared_with_a_line_show_their_map():
    rows = [entry(f'a@{x}', 50 + x, 'a', x) for x in (1, 2)]
    rows += [entry(f'b@{x}', 60 + x, 'b', x, f'a@{x}', 10) for x in (1, 2)]
    figure = study_figure(summary(entry('zero', 40), *rows))
    assert drawn_lines(figure) == {'a': [51, 52], 'b': [61, 62]}
    assert figure.axes[0].get_ylabel() == 'mAP'
    assert 'zero' in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize('largest', [3, 100])
def test_points_at_one_x_stand_side_by_side_around_it(largest):
    """On a linear and on a logarithmic axis."""
    rows = [entry(f'{line}@{x}', 50, line, x) for line in 'abc' for x in (1, largest)]
    figure = study_figure(summary(*rows))
    assert figure.axes[0].get_xscale() == ('linear' if largest == 3 else 'log')
    figure.draw_without_rendering()
    to_pixels = figure.axes[0].transData.transform
    first, second, third = (
        to_pixels(np.transpose(container.lines[0].get_data()).astype(float)) for container in figure.axes[0].containers
    )
    places = [points[0, 0] for points in (first, second, third)]
    assert places[0] < places[1] < places[2]
    assert places[1] == pytest.approx(to_pixels([(1.0, 50.0)])[0, 0])
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], rel=0.1)


def test_a_long_title_stays_within_the_picture(tmp_path):
    figure = study_figure(summary(entry('a', 50), entry('b', 60), title='many words ' * 20))
    figure.draw_without_rendering()
    left = figure.axes[0]._left_title.get_window_extent()
    assert left.x1 <= figure.bbox.x1
    assert draw_study(summary(entry('a', 50)), tmp_path / 'new' / 'study.png').stat().st_size > 0
