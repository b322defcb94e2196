import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import ScaledView, View
from cssa_mm.errors import ConfigError


@pytest.fixture
def path(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.png')
    return str(tmp_path / 'photo.png')


@pytest.mark.parametrize(
    ('size', 'options', 'expected'),
    [
        (64, dict(factor=1.25), (96, 96)),  # 80 lies between 64 and 96
        (224, dict(factor=1.25), (288, 288)),
        (224, dict(factor=1.25, stride=14), (280, 280)),
        (None, dict(factor=0.5), (32, 64)),
        ((64, 96), dict(factor=2), (128, 192)),
        (10, dict(factor=0.5), (32, 32)),
    ],
)
def test_a_scaled_view_is_resized_from_the_whole_image(path, size, options, expected):
    found = ScaledView(size=size, **options)(dict(img_path=path))
    assert found['img'].shape[:2] == found['img_shape'] == expected
    with Image.open(path) as image:
        wanted = np.asarray(image.resize(expected[::-1], Image.Resampling.BICUBIC))
    assert np.array_equal(found['img'], wanted)
    assert found['ori_shape'] == (90, 150)


@pytest.mark.parametrize('size', [None, 50, (70, 64)])
def test_at_factor_1_it_is_the_view(path, size):
    expected = View(size=size)(dict(img_path=path))['img']
    assert np.array_equal(ScaledView(size=size)(dict(img_path=path))['img'], expected)
    assert ScaledView(size=size) != View(size=size)
    assert ScaledView(size=size) == ScaledView(size=size, factor=1.0) != ScaledView(size=size, factor=1.5)


@pytest.mark.parametrize(
    'options', [dict(factor=0), dict(factor='x'), dict(factor=True), dict(stride=0), dict(stride=1.5)]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ConfigError, match=f'ScaledView: found {next(iter(options))}='):
        ScaledView(size=64, **options)
