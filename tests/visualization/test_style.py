"""The style of the figures: what it leaves alone, and how pictures are written."""

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from PIL import Image

from cssa_mm.errors import ConfigError
from cssa_mm.visualization.style import INK, checked_picture, new_figure, picture_suffixes, plain_axes, save_figure

ROOT = Path(__file__).parents[2]


def draw(path: Path) -> Path:
    figure = new_figure(3, 2)
    figure.subplots().plot([1, 2], [1, 2])
    return save_figure(figure, path)


def test_a_picture_is_as_large_as_asked_for_and_nothing_else_is_written(tmp_path):
    path = draw(tmp_path / 'new' / 'folder' / 'a.png')
    assert Image.open(path).size == (330, 220)
    assert [file.name for file in path.parent.iterdir()] == ['a.png']


@pytest.mark.parametrize('suffix', ['.svg', '.pdf', '.jpg'])
def test_the_ending_chooses_the_format(suffix, tmp_path):
    assert suffix in picture_suffixes()
    assert draw(tmp_path / f'a{suffix}').stat().st_size > 0


def test_a_name_that_no_picture_can_have_is_refused_before_anything_is_drawn(tmp_path):
    assert checked_picture(str(tmp_path / 'a.png')) == tmp_path / 'a.png'
    with pytest.raises(ConfigError, match="--out: found 'a.doc', expected a name that ends with .*.png"):
        checked_picture('a.doc')


def test_processes_that_write_one_picture_do_not_disturb_each_other(tmp_path):
    path = tmp_path / 'a.png'
    with ProcessPoolExecutor(3, mp_context=get_context('fork')) as pool:
        assert list(pool.map(draw, [path] * 30)) == [path] * 30
    assert Image.open(path).size == (330, 220)
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_that_fails_leaves_the_old_one(tmp_path):
    path = draw(tmp_path / 'a.png')
    before = path.read_bytes()
    figure = new_figure(3, 2)
    figure.text(0.5, 0.5, '$\\frac$')  # mathtext that cannot be drawn
    with pytest.raises(ValueError, match='frac'):
        save_figure(figure, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_axes_have_no_frame_and_the_ink_of_the_style():
    axes = new_figure(3, 2).subplots()
    axes.set_title('A title')
    plain_axes(axes)
    assert [name for name, spine in axes.spines.items() if spine.get_visible()] == ['left', 'bottom']
    assert axes.title.get_color() == INK


def test_a_backend_of_the_user_is_left_alone():
    modules = sorted(path.stem for path in (ROOT / 'cssa_mm' / 'visualization').glob('[a-z]*.py'))
    code = ';'.join(
        [
            'import matplotlib',
            "matplotlib.use('svg')",
            *(f'import cssa_mm.visualization.{name}' for name in modules),
            "assert matplotlib.get_backend() == 'svg'",
        ]
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)
