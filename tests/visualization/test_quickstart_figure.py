import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from cssa_mm.visualization.explanation import Explanation
from cssa_mm.visualization.quickstart_figure import draw_quickstart, quickstart_figure
from cssa_mm.visualization.style import ACCENT, SECOND

CURVES = {'labelled-only': [(80, 70.0), (400, 74.0)], 'CSSA': [(300, 70.0), (684, 80.0)], 'cssa_plus': []}
RECORDS = [
    dict(epoch=151, micro_precision=0.5, micro_recall=0.25, masked_share=None),
    dict(epoch=152, micro_precision=0.75, micro_recall=0.5, masked_share=0.01),
]


def scene(seed: int) -> Explanation:
    rng = np.random.default_rng(seed)
    return Explanation(
        image=rng.integers(0, 256, (64, 64, 3), dtype=np.uint8),
        names=('sun', 'moon', 'star'),
        scores=(0.9, 0.5, 0.25),
        thresholds=(0.4, 0.4, 0.4),
        is_true=(True, False, True),
        maps=rng.random((3, 64, 64)),
        peaks=np.full((3, 2), 32.0),
        rule='Bright: here.',
    )


@pytest.fixture
def panels():
    """The axes of a drawn figure: curves, quality, and those of the scenes."""
    figure = quickstart_figure(CURVES, 48.0, RECORDS, [scene(seed) for seed in range(4)])
    figure.draw_without_rendering()
    curves, quality, *scenes = figure.get_axes()
    return curves, quality, scenes


def test_a_method_has_its_curve_and_one_without_validations_has_none(panels):
    curves, _, _ = panels
    drawn = {line.get_label(): line.get_xydata().tolist() for line in curves.lines}
    assert drawn.pop('zero-shot') == [[0, 48], [1, 48]]
    assert drawn == {'labelled-only': [[80, 70], [400, 74]], 'CSSA': [[300, 70], [684, 80]]}


def test_the_quality_of_the_pseudo_labels_is_in_per_cent_and_leaves_out_what_is_not_known(panels):
    _, quality, _ = panels
    drawn = {line.get_label(): line.get_ydata().tolist() for line in quality.lines}
    assert drawn['precision'] == [50, 75]
    assert drawn['recall'] == [25, 50]
    assert np.isnan(drawn['share masked'][0])
    assert drawn['share masked'][1] == 1


def test_each_scene_stands_before_the_maps_of_its_labels_and_wrong_labels_have_another_colour(panels):
    _, _, scenes = panels
    assert len(scenes) == 16
    titles = [axes.get_title() for axes in scenes[:4]]
    assert titles == ['', 'sun 0.90', 'moon 0.50', 'star 0.25']
    assert [to_hex(axes.title.get_color()) for axes in scenes[1:4]] == [ACCENT, SECOND, ACCENT]
    assert [len(axes.images) for axes in scenes[:4]] == [1, 2, 2, 2]


def test_the_picture_is_written(tmp_path):
    path = draw_quickstart(CURVES, 48.0, RECORDS, [scene(0)], tmp_path / 'quickstart.png')
    assert min(Image.open(path).size) > 300
