import numpy as np
import pytest
from mmcv.transforms import Resize
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from cssa_mm.datasets import LoadRGBImage, View
from cssa_mm.datasets.pipeline import build_pipeline
from cssa_mm.errors import ConfigError, DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
IN_WORDS = 'expected a positive whole number, (height, width), or None for no resizing.'


@pytest.fixture
def path(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / 'a.png')
    return str(tmp_path / 'a.png')


@pytest.mark.parametrize(
    ('options', 'scale'),
    [
        (dict(size=224), (224, 224)),
        (dict(size=(20, 31)), (31, 20)),
        (dict(size=[80, 61], interpolation='lanczos'), (61, 80)),
        (dict(size=24, interpolation='bilinear', backend='cv2'), (24, 24)),
    ],
    ids=str,
)
def test_a_view_gives_the_pixels_and_keys_of_loading_and_resizing(path, options, scale):
    resize = dict(type='Resize', scale=scale, backend='pillow', interpolation='bicubic')
    resize |= {key: value for key, value in options.items() if key != 'size'}
    expected = build_pipeline([dict(type='LoadRGBImage'), resize], None)(dict(img_path=path))
    view = TRANSFORMS.build(dict(type='View', **options))
    found = view(dict(img_path=path))
    assert isinstance(build_pipeline([resize], None).transforms[0], Resize)
    np.testing.assert_array_equal(found.pop('img'), expected.pop('img'))
    assert found == expected
    np.testing.assert_array_equal(view.of_image(PIXELS), view(dict(img_path=path))['img'])


def test_the_pixels_are_those_of_pillow(path):
    expected = Image.fromarray(PIXELS).resize((19, 30), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(View(size=(30, 19))(dict(img_path=path))['img'], np.asarray(expected))


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('size', [24, (20, 31), (80, 61)], ids=str)
def test_torchvision_gives_the_pixels_of_pillow_to_one_of_255_and_the_same_keys(path, size, interpolation):
    views = [View(size=size, interpolation=interpolation, backend=backend) for backend in ('torchvision', 'pillow')]
    found, expected = (view(dict(img_path=path)) for view in views)
    np.testing.assert_array_equal(views[0].of_image(PIXELS), found['img'])
    images = [each.pop('img') for each in (found, expected)]
    assert images[0].flags.c_contiguous
    assert np.abs(images[0].astype(int) - images[1]).max() <= 1
    assert found == expected


def test_without_a_size_the_image_stays_as_it_is(path):
    view = View(size=None)
    found, expected = (step(dict(img_path=path)) for step in (view, LoadRGBImage()))
    np.testing.assert_array_equal(found.pop('img'), expected.pop('img'))
    assert found == expected
    assert view.of_image(PIXELS) is PIXELS


def test_an_image_that_is_there_already_is_kept_and_resized():
    found = View(size=8)(dict(img_path='nowhere.jpg', img=PIXELS))
    np.testing.assert_array_equal(found['img'], View(size=8).of_image(PIXELS))
    assert (found['ori_shape'], found['img_shape']) == ((37, 53), (8, 8))


def test_the_storage_of_the_data_set_reaches_the_view_unless_it_has_its_own():
    theirs, own = dict(backend='local'), dict(backend='petrel')
    steps = [dict(type='View', size=8), dict(type='View', size=8, backend_args=own)]
    first, second = build_pipeline(steps, theirs).transforms
    assert first.backend_args == theirs
    assert second.backend_args == own


@pytest.mark.parametrize(
    ('size', 'normal'),
    [(224, 224), ((224, 224), 224), ([np.int64(20), 31], [20, 31]), (None, None)],
    ids=str,
)
def test_a_view_is_plain_data_that_builds_the_same_view(size, normal):
    view = View(size=size, backend_args=dict(backend='local'))
    config = view.as_config()
    assert config == dict(type='View', size=normal, interpolation='bicubic', backend='pillow')
    assert str(config['size']) == str(normal)
    assert TRANSFORMS.build(config) == view
    assert hash(TRANSFORMS.build(config)) == hash(view)
    assert repr(view) == f"View(size={normal}, interpolation='bicubic', backend='pillow')"


@pytest.mark.parametrize(
    'other',
    [
        dict(size=(8, 9)),
        dict(size=None),
        dict(size=8, interpolation='bilinear'),
        dict(size=8, backend='cv2'),
        dict(size=8, backend='torchvision'),
    ],
    ids=str,
)
def test_views_of_other_pixels_differ(other):
    assert View(**other) != View(size=8)
    assert len({View(**other), View(size=8), View(size=[8, 8])}) == 2


def test_a_view_is_nothing_but_a_view():
    assert View(size=8) != dict(type='View', size=8)
    with pytest.raises(TypeError, match='size'):
        View()


@pytest.mark.parametrize('size', [0, -3, 2.0, True, '224', (1, 2, 3), (224,), (224, 0), (None, 8)], ids=repr)
def test_a_wrong_size_is_refused_in_one_line(size):
    with pytest.raises(ConfigError) as caught:
        View(size=size)
    assert str(caught.value) == f'View: found size={size!r}, {IN_WORDS}'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(interpolation='bicubik'),
            "interpolation='bicubik', expected one of nearest, bilinear, bicubic, box, lanczos, hamming."
            " Did you mean 'bicubic'?",
        ),
        (
            dict(interpolation='box', backend='cv2'),
            "interpolation='box', expected one of nearest, bilinear, bicubic, area, lanczos.",
        ),
        (dict(backend='pil'), "backend='pil', expected one of pillow, cv2, torchvision. Did you mean 'pillow'?"),
        (dict(interpolation=['bicubic']), "interpolation=['bicubic'], expected one of"),
    ],
    ids=str,
)
def test_unknown_options_are_refused_in_one_line(options, message):
    with pytest.raises(ConfigError) as caught:
        View(size=8, **options)
    assert str(caught.value).startswith(f'View: found {message}')


@pytest.mark.parametrize('image', [PIXELS.astype(np.float32), PIXELS[..., 0], PIXELS[..., :2]], ids=lambda a: a.shape)
def test_an_array_that_is_no_rgb_image_is_refused(image):
    with pytest.raises(DataError, match='^image: found an array of shape .* convert it.$'):
        View(size=8).of_image(image)
