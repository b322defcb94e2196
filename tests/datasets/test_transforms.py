import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import LoadRGBImage
from cssa_mm.datasets.images.decoding import Decoder
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
    colours, alpha = (
        np.asarray(image.convert('RGB')) / 255,
        np.array([0, 128, 255] + [255] * 5)[np.asarray(image)] / 255,
    )
    expected = 255 * (colours * alpha[..., None] + 1 - alpha[..., None])
    np.testing.assert_allclose(load(tmp_path / 'a.png')['img'], expected, atol=0.51)


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


def png_bytes(width: int, height: int, bits: int, *rows: bytes) -> bytes:
    """An RGB file as Pillow writes none: 16 bits a colour, or a header that claims more than there is."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, bits, 2, 0, 0, 0))
    pixels = chunk(b'IDAT', zlib.compress(b''.join(b'\0' + row for row in rows)))
    return b'\x89PNG\r\n\x1a\n' + header + pixels + chunk(b'IEND', b'')


def test_16_bit_colour_is_scaled_too(tmp_path):
    (tmp_path / 'a.png').write_bytes(png_bytes(2, 1, 16, struct.pack('>6H', 65535, 0, 0, 0, 0, 32896)))
    assert load(tmp_path / 'a.png')['img'].tolist() == [[[255, 0, 0], [0, 0, 128]]]


def test_a_palette_without_transparency_becomes_its_colours(tmp_path):
    image = Image.fromarray(COLOURS).quantize(8)
    image.save(tmp_path / 'a.gif')
    np.testing.assert_array_equal(load(tmp_path / 'a.gif')['img'], np.asarray(image.convert('RGB')))


@pytest.mark.parametrize('suffix', ['gif', 'webp', 'png'])
def test_of_an_animation_the_first_frame_counts(tmp_path, suffix):
    red, blue = Image.new('RGB', (9, 12), (255, 0, 0)), Image.new('RGB', (9, 12), (0, 0, 255))
    options = dict(lossless=True) if suffix == 'webp' else {}
    red.save(tmp_path / f'a.{suffix}', save_all=True, append_images=[blue, red], duration=100, **options)
    assert Image.open(tmp_path / f'a.{suffix}').n_frames == 3
    np.testing.assert_array_equal(load(tmp_path / f'a.{suffix}')['img'], np.asarray(red))


def test_an_image_of_one_pixel_is_an_image(tmp_path):
    Image.new('RGB', (1, 1), (1, 2, 3)).save(tmp_path / 'a.png')
    assert load(tmp_path / 'a.png')['img'].tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ('orientation', 'stored'),
    [
        (1, COLOURS),
        (2, COLOURS[:, ::-1]),
        (3, COLOURS[::-1, ::-1]),
        (4, COLOURS[::-1]),
        (5, COLOURS.swapaxes(0, 1)),
        (6, np.rot90(COLOURS)),
        (7, COLOURS[::-1, ::-1].swapaxes(0, 1)),
        (8, np.rot90(COLOURS, -1)),
    ],
    ids=str,
)
def test_every_exif_orientation_is_turned_upright(tmp_path, orientation, stored):
    """Oracle: the EXIF standard's description of each, done with NumPy."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(load(tmp_path / 'a.png')['img'], COLOURS)


def test_an_enormous_image_is_refused_before_its_pixels_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 50)  # Pillow refuses above twice as many: 12 x 9 is more
    path = tmp_path / 'a.png'
    Image.fromarray(COLOURS).save(path)
    monkeypatch.setattr(Image.Image, 'load', lambda self: pytest.fail('the pixels were read'))
    with pytest.raises(DataError) as error:
        load(path)
    assert str(error.value).startswith(f'{path}: found an enormous image (Image size (108 pixels) exceeds limit of 100')
    assert str(error.value).endswith("expected one of at most 100 pixels, Pillow's limit; shrink or remove it.")


def test_a_bomb_of_a_few_bytes_is_refused_by_the_shipped_limit(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(png_bytes(60_000, 60_000, 8, bytes(100)))
    with pytest.raises(DataError, match=f'^{path}: found an enormous image .*at most 178,956,970 pixels'):
        load(path)


def test_an_image_that_is_there_already_is_kept():
    result = LoadRGBImage()(dict(img_path='nowhere.jpg', img=COLOURS))
    assert result['img'] is COLOURS
    assert result['img_shape'] == result['ori_shape'] == (12, 9)


def test_want_of_memory_is_not_blamed_on_the_image(tmp_path, monkeypatch):
    def decode(self, content):
        raise MemoryError

    Image.fromarray(COLOURS).save(tmp_path / 'a.png')
    monkeypatch.setattr(Decoder, 'decode', decode)
    with pytest.raises(MemoryError):
        load(tmp_path / 'a.png')


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
