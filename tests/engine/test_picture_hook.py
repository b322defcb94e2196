"""Pictures of predictions: none over another, whatever the paths, batches and views."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from PIL import Image

from cssa_mm.engine import LabelPictureHook
from cssa_mm.engine.picture_hook import PictureNames, with_own_pictures
from cssa_mm.errors import ConfigError

CLASSES = ('dog', 'собака')


@pytest.fixture
def hook(monkeypatch, tmp_path):
    """hook(**options) -> the hook, with a visualizer of its own; pictures go to `tmp_path`/pictures."""
    from mmpretrain.visualization import UniversalVisualizer

    def make(**options):
        visualizer = UniversalVisualizer()
        visualizer.dataset_meta = dict(classes=CLASSES)
        monkeypatch.setattr('mmengine.visualization.Visualizer.get_current_instance', lambda: visualizer)
        return LabelPictureHook(**dict(enable=True, interval=1, out_dir=str(tmp_path / 'pictures')) | options)

    return make


def batch(paths, colours, views=None):
    """Images of one colour each, with their samples; `views` adds a mirror image of each."""
    images = [torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, 60, 60) for colour in colours]
    samples = [DataSample(metainfo={} if path is None else dict(img_path=path)) for path in paths]
    for sample in samples:
        sample.set_pred_label(torch.tensor([1])).set_pred_score(torch.tensor([0.1, 0.9]))
    return dict(inputs=images if views is None else [images, [torch.zeros_like(image) for image in images]]), samples


def corner(path):
    with Image.open(path) as picture:
        return picture.convert('RGB').getpixel((picture.width - 3, picture.height - 3))


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


@pytest.mark.parametrize('views', [None, 2])
def test_photos_of_one_name_get_pictures_of_their_own(hook, tmp_path, views):
    drawing, runner = hook(), SimpleNamespace()
    drawing.after_test_iter(runner, 0, *batch(['/x/a/1.jpg', '/x/b/1.jpg'], COLOURS[:2], views))
    drawing.after_test_iter(runner, 1, *batch(['/x/b_1.jpg'], COLOURS[2:], views))
    found = {path.name: corner(path) for path in (tmp_path / 'pictures').iterdir()}
    assert found == {'1.jpg_0.png': COLOURS[0], 'b_1.jpg_0.png': COLOURS[1], 'x_b_1.jpg_0.png': COLOURS[2]}


def test_images_without_path_are_counted_through_all_batches(hook, tmp_path):
    drawing, runner = hook(interval=2), SimpleNamespace()
    drawing.after_test_iter(runner, 0, *batch([None, None, None], COLOURS))
    drawing.after_test_iter(runner, 1, *batch([None, None], COLOURS[:2]))
    assert sorted(path.name for path in (tmp_path / 'pictures').iterdir()) == ['0_0.png', '2_0.png', '4_0.png']


def test_a_small_image_is_enlarged_and_has_its_labels(hook, tmp_path, monkeypatch):
    texts = []
    drawing = hook()
    monkeypatch.setattr(
        'matplotlib.axes.Axes.text', lambda self, x, y, text, **options: texts.append((text, options)), raising=True
    )
    drawing.after_test_iter(SimpleNamespace(), 0, *batch(['a.png'], COLOURS[:1]))
    ((text, options),) = texts
    assert text == 'Prediction: 1, 0.90 (собака)'
    assert options['family'] == ['monospace']
    with Image.open(tmp_path / 'pictures' / 'a.png_0.png') as picture:
        assert picture.size == (480, 480)


def test_nothing_is_drawn_unless_it_is_switched_on(hook, tmp_path):
    hook(enable=False).after_test_iter(SimpleNamespace(), 0, *batch(['a.png'], COLOURS[:1]))
    assert not (tmp_path / 'pictures').exists()


def test_a_folder_that_cannot_be_made_is_refused_before_the_test(hook, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(ConfigError, match='visualization.out_dir: found .*it is a file'):
        hook(out_dir=str(tmp_path / 'file'))


def test_names_tell_paths_apart_and_are_kept():
    names, rng = PictureNames(), np.random.default_rng(0)
    parts = ['a', 'b', 'a_b', 'b_a', '1.jpg', 'a_1.jpg', 'b_1.jpg']
    paths = {'/'.join(rng.choice(parts, size=rng.integers(1, 4))) for _ in range(300)}
    paths |= {f'/{path}' for path in paths}  # an absolute path beside a relative one of the same parts
    found = {path: names.of(path) for path in sorted(paths)}
    assert len(set(found.values())) == len(paths)
    assert not any('/' in name for name in found.values())
    assert {path: names.of(path) for path in sorted(paths, reverse=True)} == found


def test_mmpretrain_s_hook_becomes_ours():
    assert with_own_pictures(dict(type='VisualizationHook', interval=3)) == dict(type='LabelPictureHook', interval=3)
    assert with_own_pictures(dict(type='IterTimerHook')) == dict(type='IterTimerHook')
    assert with_own_pictures(None) is None
