"""The reliability diagram shows what its tables say."""

import numpy as np
import pytest
from PIL import Image

import cssa_mm  # noqa: F401
from cssa_mm.evaluation.calibration import reliability
from cssa_mm.visualization.reliability_figure import FEWEST, draw_reliability, reliability_figure


@pytest.fixture
def tables():
    rng = np.random.default_rng(0)
    scores = rng.beta(0.5, 2, size=5000)
    truth = (rng.random(5000) < scores).astype(int)
    return {'raw': reliability(scores**2, truth), 'calibrated': reliability(scores, truth)}


def test_a_point_is_the_share_of_positives_of_a_bin_with_enough_cells(tables):
    figure = reliability_figure({'demo': tables, 'photos': {'calibrated': tables['calibrated']}})
    lines = [line for line in figure.axes[0].lines if line.get_label() in tables]
    assert [line.get_label() for line in lines] == ['raw', 'calibrated']
    for line in lines:
        table = tables[line.get_label()]
        enough = table['count'] >= FEWEST
        np.testing.assert_array_equal(line.get_ydata(), table['positive'][enough])
        np.testing.assert_array_equal(line.get_xdata(), table['score'][enough])
    assert len(figure.axes) == 4


def test_counts_stand_under_the_scores_that_they_count(tables):
    figure = reliability_figure({'demo': tables})
    figure.draw_without_rendering()
    above, below = (axes.get_window_extent() for axes in figure.axes)
    np.testing.assert_allclose((above.x0, above.x1), (below.x0, below.x1), atol=1)


def test_it_is_written(tables, tmp_path):
    path = draw_reliability({'demo': tables}, tmp_path / 'deep' / 'reliability.png')
    assert np.asarray(Image.open(path)).std() > 5
