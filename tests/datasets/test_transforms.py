import io

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import LoadRGBImage
from cssa_mm.errors import DataError

RAMP = np.linspace(0, 255, 12 * 9).reshape(12, 9).astype(np.uint8)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)


def load(path):
    return LoadRGBImage()(dict(img_path=str(path)))


def test_an_image_is_decoded_to_rgb_with_its_shape(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / 'a.png')
    result = load(tmp_path / 'a.png')
    np.testing.assert_array_equal(result['img'], COLOURS)
    assert result['img'].dtype == np.uint8
    assert result['img_shape'] == result['ori_shape'] == (12, 9)


@pytest.mark.parametrize('mode', ['L', 'LA', 'RGBA', '1'])
def test_other_modes_become_rgb(tmp_path, mode):
    image = Image.fromarray(COLOURS).convert(mode)
    image.save(tmp_path / 'a.png')
    np.testing.assert_array_equal(load(tmp_path / 'a.png')['img'], np.asarray(image.convert('RGB')))


@pytest.mark.filterwarnings('error')
def test_a_palette_with_transparency_becomes_rgb_without_a_warning(tmp_path):
    image = Image.fromarray(COLOURS).quantize(8)
    image.save(tmp_path / 'a.png', transparency=bytes([0, 128, 255]))
    np.testing.assert_array_equal(load(tmp_path / 'a.png')['img'], np.asarray(image.convert('RGB')))


def test_cmyk_becomes_rgb(tmp_path):
    Image.new('CMYK', (9, 12), (255, 0, 0, 0)).save(tmp_path / 'a.jpg')
    assert load(tmp_path / 'a.jpg')['img'][3, 3] == pytest.approx([0, 255, 255], abs=3)


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / 'a.png')
    np.testing.assert_array_equal(load(tmp_path / 'a.png')['img'], np.stack([RAMP] * 3, axis=-1))


def test_an_image_on_its_side_is_turned_upright_by_its_exif_tag(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS).save(tmp_path / 'a.png', exif=exif)
    result = load(tmp_path / 'a.png')
    np.testing.assert_array_equal(result['img'], np.rot90(COLOURS, -1))
    assert result['ori_shape'] == (9, 12)


def jpeg_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, 'jpeg')
    return buffer.getvalue()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'cannot be read .No such file'),
        (b'', 'found an empty file'),
        (b'<html>404</html>', 'found no readable image'),
        (jpeg_bytes()[:1500], 'found no readable image .*truncated'),
    ],
    ids=['missing', 'empty', 'no image', 'cut off'],
)
def test_a_bad_image_is_named_in_one_line(tmp_path, content, message):
    path = tmp_path / 'a.jpg'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f'{path}: ')
    assert 'expected' in str(caught.value)
    assert '\n' not in str(caught.value)
    # The object in memory would say nothing to a user.
    assert 'BytesIO' not in str(caught.value)
