"""Maps over images, and panels of them. No label, no model: maps are made by hand."""

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

from cssa_mm.visualization.explanation import CellMap, Explanation, draw_label
from cssa_mm.visualization.style import ACCENT, MUTED, SECOND, new_figure

SIZE = (140, 224)
# Centres of a tower that looks up and straight ahead, of one with patches, and of one that looks down.
CENTRES = [(4 / 224, 1 / 7), (1 / 14, 1 / 7), (31 / 224, 1 / 7)]


def cell_map(values: np.ndarray, first: float = 1 / 14, step: float = 1 / 7) -> CellMap:
    height, width = values.shape
    return CellMap(values, first + step * np.arange(height), 1 / width / 2 + np.arange(width) / width)


@pytest.mark.parametrize('centre', CENTRES)
@pytest.mark.parametrize('cell', [(0, 0), (0, 6), (6, 0), (6, 6), (0, 3), (3, 6), (3, 3)])
def test_a_peak_stays_at_its_cell_when_it_is_drawn_even_in_a_corner(cell, centre):
    """Upsampling that repeats the border would make a streak to the edge of the image, and move the peak there."""
    values = np.random.default_rng(0).uniform(0, 0.8, (7, 7))
    values[cell] = 1
    found = cell_map(values, *centre)
    heat = found.spread(SIZE)
    x, y = found.peak(SIZE)
    assert (x, y) == (pytest.approx((cell[1] + 0.5) * 32), pytest.approx((centre[0] + cell[0] / 7) * 140))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row + 0.5 - y) <= 0.5001
    assert abs(column + 0.5 - x) <= 0.5001


def test_beyond_an_outer_cell_the_map_falls_towards_its_minimum():
    values = np.zeros((4, 4))
    values[0, 2], values[3, 3] = 1, 0.9
    heat = cell_map(values, 1 / 8, 1 / 4).spread((128, 128))
    assert heat[16, 80] == pytest.approx(1, abs=0.01)
    assert heat[0, 80] < 0.55  # half a cell above it
    assert heat[127, 127] < 0.35
    assert heat[60, 20] == 0


def test_the_map_goes_through_its_cells_and_never_above_them():
    values = np.random.default_rng(1).uniform(-3, 5, (3, 4))
    found = cell_map(values, 0.2, 0.3)
    heat = found.spread((1000, 1000))
    scaled = (values - values.min()) / (values.max() - values.min())
    at_cells = heat[np.ix_((found.rows * 1000).astype(int), (found.columns * 1000).astype(int))]
    np.testing.assert_allclose(at_cells, scaled, atol=1e-3)
    assert heat.min() >= 0
    assert heat.max() <= 1
    between = heat[200:500, 125:375]  # of four cells
    assert between.max() <= scaled[:2, :2].max() + 1e-6


def test_equal_cells_are_no_peak():
    assert not cell_map(np.full((7, 7), 0.3)).spread(SIZE).any()


def test_one_cell_is_a_map_too():
    found = CellMap(np.ones((1, 1)), np.array([0.5]), np.array([0.5]))
    assert found.spread((8, 8)).shape == (8, 8)
    assert found.peak((8, 8)) == (4, 4)


def explanation(**changes) -> Explanation:
    rng = np.random.default_rng(0)
    values = dict(
        image=rng.integers(0, 256, (60, 90, 3), dtype=np.uint8),
        names=('dog', 'cat', 'a $price$'),
        scores=(0.93, 0.4, 0.2),
        thresholds=(0.41, 0.55, math.nan),
        maps=rng.random((3, 60, 90)).astype(np.float32),
        peaks=np.array([[10.0, 20.0], [80.0, 5.0], [0.0, 59.0]]),
        rule='Bright: here.',
    )
    return Explanation(**values | changes)


def test_score_and_threshold_are_said_in_words():
    found = explanation()
    assert found.reached == (True, False, False)
    assert [found.verdict(number) for number in range(3)] == [
        '0.93, threshold 0.41',
        '0.40, below its threshold 0.55',
        '0.20, never trained',
    ]


@pytest.mark.parametrize(
    ('is_true', 'colours'),
    [
        (None, [ACCENT, MUTED, ACCENT]),
        ((True, False, True), [ACCENT, SECOND, ACCENT]),
        ((False, None, None), [SECOND, MUTED, ACCENT]),
    ],
)
def test_a_panel_shows_image_map_peak_and_a_title_in_the_colour_of_the_label(is_true, colours):
    found = explanation(is_true=is_true)
    axes = new_figure(6, 2).subplots(1, 3)
    for number, (each, colour) in enumerate(zip(axes, colours, strict=True)):
        draw_label(each, found, number, found.names[number])
        photo, heat = each.images
        np.testing.assert_array_equal(photo.get_array(), found.image)
        np.testing.assert_array_equal(heat.get_array(), found.maps[number])
        (ring,) = each.lines
        assert ring.get_xydata().tolist() == [found.peaks[number].tolist()]
        assert (each.get_title(), to_hex(each.title.get_color())) == (found.names[number], colour)
        assert not each.title.get_parse_math()
        assert (each.get_xlim(), each.get_ylim()) == ((0, 90), (60, 0))
