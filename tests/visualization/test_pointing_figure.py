"""The picture of the pointing game: what stands where, by the artists of the figure."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from cssa_mm.evaluation.pointing_game import middles
from cssa_mm.visualization.explanation import CellMap
from cssa_mm.visualization.pointing_figure import PointingTrial, draw_pointing_game, pointing_figure

SHARES = {'label attention': 0.5634, 'cosine map of CLIP': 0.5, 'dot-product map of CLIP': 1.0}
# Class, height and width of the photo, boxes in pixels, and by method the peak's cell in a grid (4, 6) and if it hits.
TRIALS = [
    ('dog', 200, 300, [(30, 20, 150, 180)], [(1, 2, True), (0, 0, False), (3, 5, True)]),
    ('potted plant', 300, 180, [(0, 0, 90, 150), (20, 40, 180, 300)], [(0, 5, False), (3, 0, False), (2, 3, True)]),
    ('sheep', 200, 400, [(40, 12, 360, 60)], [(2, 2, False), (2, 4, True), (0, 1, False)]),
    ('a class with a name too long for its photo', 150, 150, [(1, 2, 3, 4)], [(3, 3, True)] * 3),
    ('bench', 60, 600, [(1, 2, 3, 4)], [(0, 5, False)] * 3),
]


def trial(number: int) -> PointingTrial:
    name, height, width, boxes, peaks = TRIALS[number]
    rng = np.random.default_rng(number)
    maps = {}
    for method, (row, column, _) in zip(SHARES, peaks, strict=True):
        maps[method] = CellMap(rng.uniform(-1, 0.5, (4, 6)), middles(4), middles(6))
        maps[method].values[row, column] = 1
    return PointingTrial(
        image_id=f'2008_00000{number}',
        image=rng.integers(100, 256, (height, width, 3), dtype=np.uint8),
        class_name=name,
        boxes=np.array(boxes) / (width, height, width, height),
        maps=maps,
        is_hit={method: is_hit for method, (*_, is_hit) in zip(SHARES, peaks, strict=True)},
    )


@pytest.fixture
def figure():
    """figure(*numbers) -> the drawn figure of these trials."""

    def make(*numbers):
        made = pointing_figure([trial(number) for number in numbers], SHARES, count=1045)
        made.canvas.draw()
        return made

    yield make
    plt.close('all')


def panels(figure, columns: int) -> list[list]:
    assert len(figure.axes) == columns * len(SHARES)
    return [figure.axes[start : start + columns] for start in range(0, len(figure.axes), columns)]


def test_columns_are_photos_named_by_class_and_rows_are_methods_with_their_shares(figure):
    rows = panels(figure(0, 1, 2), 3)
    titles = [[axes.get_title() for axes in row] for row in rows]
    assert titles == [['dog', 'potted plant', 'sheep'], ['', '', ''], ['', '', '']]
    assert [row[0].get_ylabel() for row in rows] == [
        'label attention\n56.3 % hits',
        'cosine map of CLIP\n50.0 % hits',
        'dot-product map of CLIP\n100.0 % hits',
    ]
    assert [axes.get_xlabel() for axes in rows[-1]] == ['2008_000000', '2008_000001', '2008_000002']


def test_every_peak_is_marked_once_as_what_it_is(figure):
    marks = []
    for row, method in zip(panels(figure(0, 1, 2), 3), range(3), strict=True):
        for axes, (_, height, width, _, peaks) in zip(row, TRIALS, strict=False):
            (mark,) = axes.lines
            y, x, is_hit = peaks[method]
            assert mark.get_xydata().tolist() == [[pytest.approx((x + 0.5) / 6 * width), (y + 0.5) / 4 * height]]
            assert mark.get_label() == ('hit' if is_hit else 'miss')
            (sign,) = axes.texts
            assert sign.get_text() == ('✓' if is_hit else '✗')
            assert sign.get_position() == tuple(mark.get_xydata()[0])
            marks.append((mark.get_label(), to_hex(mark.get_color())))
    assert len(set(marks)) == 2
    assert sum(label == 'hit' for label, _ in marks) == sum(hit for *_, peaks in TRIALS[:3] for *_, hit in peaks) == 4


def test_the_legend_explains_the_marks_with_their_colours(figure):
    drawn = figure(0, 1)
    used = {mark.get_label(): to_hex(mark.get_color()) for axes in drawn.axes for mark in axes.lines}
    (legend,) = drawn.legends
    shown = {
        text.get_text(): to_hex(handle.get_color())
        for text, handle in zip(legend.get_texts()[:2], legend.legend_handles[:2], strict=True)
    }
    assert shown == {'✓ hit': used['hit'], '✗ miss': used['miss']}
    assert legend.get_texts()[2].get_text() == 'box of the class'


def test_all_boxes_are_drawn_in_pixels_over_the_dimmed_photo_and_its_map(figure):
    for row, method in zip(panels(figure(0, 1, 2), 3), SHARES, strict=True):
        for axes, number in zip(row, range(3), strict=True):
            _, height, width, boxes, _ = TRIALS[number]
            corners = [
                (*box.get_xy(), box.get_x() + box.get_width(), box.get_y() + box.get_height()) for box in axes.patches
            ]
            np.testing.assert_allclose(corners, boxes)
            photo, heat = axes.images
            assert photo.get_extent() == heat.get_extent() == [0, width, height, 0]
            assert (axes.get_xlim(), axes.get_ylim()) == ((0, width), (height, 0))
            image = trial(number).image
            assert np.corrcoef(photo.get_array().ravel(), image.ravel())[0, 1] > 0.99
            assert photo.get_array().mean() < 0.7 * image.mean()
            np.testing.assert_array_equal(heat.get_array(), trial(number).maps[method].spread((height, width)))


@pytest.mark.parametrize('numbers', [(0, 1, 2, 3), (0, 0, 2, 2, 1, 1), (1,), (3,), (1, 4, 0)])
def test_nothing_overlaps_or_leaves_the_picture(figure, numbers):
    drawn = figure(*numbers)
    canvas = drawn.bbox
    texts = [*drawn.texts, *drawn.legends]
    for axes in drawn.axes:
        texts += [text for text in (axes.title, axes.xaxis.label, axes.yaxis.label) if text.get_text()]
    boxes = [artist.get_window_extent() for artist in (*texts, *drawn.axes)]
    for box in boxes:
        assert canvas.x0 <= box.x0 < box.x1 <= canvas.x1
        assert canvas.y0 <= box.y0 < box.y1 <= canvas.y1
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)


def test_all_photos_are_equally_high_and_as_wide_as_they_are(figure):
    for row in panels(figure(0, 1, 2, 3), 4):
        extents = [axes.get_window_extent() for axes in row]
        assert len({(round(extent.y0), round(extent.y1)) for extent in extents}) == 1
        aspects = [extent.width / extent.height for extent in extents]
        np.testing.assert_allclose(aspects, [1.5, 0.6, 2, 1])


def test_the_caption_tells_how_the_photos_were_drawn(figure):
    (caption,) = figure(0, 1, 2, 3).texts
    text = 'Shares: of all 1,045 pairs of image and class. Shown: 2 drawn from the hits of the label attention, 2 from '
    assert caption.get_text().replace('\n', ' ') == text + 'its misses.'


def test_the_picture_is_written_whole_and_closed(tmp_path):
    before = plt.get_fignums()
    draw_pointing_game([trial(0), trial(1)], SHARES, 7, tmp_path / 'pointing_game.png')
    assert [path.name for path in tmp_path.iterdir()] == ['pointing_game.png']
    with Image.open(tmp_path / 'pointing_game.png') as picture:
        assert picture.width > 400
        assert picture.height > 600
        assert len(np.unique(np.asarray(picture.convert('L')))) > 50
    assert plt.get_fignums() == before
