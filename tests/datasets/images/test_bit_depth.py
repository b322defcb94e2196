"""Images of more than 8 bits a colour: written by Pillow or by hand, compared with their data by plain arithmetic."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from cssa_mm.datasets import LoadRGBImage, View
from cssa_mm.datasets.images.bit_depth import scale_to_8bit
from cssa_mm.datasets.images.decoding import Decoder
from cssa_mm.errors import ConfigError

RAMP = np.linspace(0, 1, 24 * 36).reshape(24, 36)


def ints(most, dtype=np.uint16):
    return np.round(RAMP * most).astype(dtype)


def grey(path, **options):
    pixels = LoadRGBImage(**options)(dict(img_path=str(path)))['img']
    assert pixels.dtype == np.uint8
    assert (pixels == pixels[:, :, :1]).all()
    return pixels[:, :, 0]


def decoded(path, **options):
    return Decoder(**options).decode_file(path.read_bytes(), str(path))


EIGHT = np.round(RAMP * 255)


# -- the pure function -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('array', 'info', 'rule'),
    [
        (ints(65535), {}, '16-bit data over the whole range'),
        (ints(16383), {}, '14-bit data in 16 bits: divided by 16383'),
        (ints(4095), {}, '12-bit data in 16 bits: divided by 4095'),
        (ints(1023), {}, '10-bit data in 16 bits: divided by 1023'),
        (ints(255), {}, '8-bit data in 16 bits: as they are'),
        (ints(4095, np.int32), {}, '12-bit data in 16 bits: divided by 4095'),
        (ints(2**24 - 1, np.int32), {}, '24-bit data in 32 bits: divided by 16777215'),
        (ints(2**31 - 1, np.int32), {}, '31-bit data in 32 bits: divided by 2147483647'),
        (ints(2**32 - 1, np.uint32).view(np.int32), dict(unsigned=True), '32-bit data in 32 bits: divided by'),
        (RAMP.astype(np.float32), {}, 'float data from 0 to 1'),
        ((RAMP * 255).astype(np.float32), {}, 'float data from 0 to 255'),
        ((RAMP * 4095).astype(np.float32), {}, 'float data from 0 to 4095'),
        ((RAMP * 65535).astype(np.float32), {}, 'float data from 0 to 65535'),
        ((RAMP * 2 - 1).astype(np.float32), {}, 'float data from -1 to 1'),
        ((RAMP * 5000 - 1000).astype(np.float32), {}, 'data below 0: each image from its least'),
        (ints(5000, np.int32) - 1000, {}, 'data below 0: each image from its least'),
        (ints(1000), dict(bits=12, expected=1000 / 4095), '12-bit data, by the key bits'),
        (ints(1000), dict(white=(4095, 65535), expected=1000 / 4095), '12-bit data in 16 bits: divided by 4095, by'),
        (ints(5000), dict(white=(4095, 65535), expected=5000 / 65535), '16-bit data over the whole range'),
        (ints(3000), dict(white=(3000,)), 'data from 0 to 3000, by the file'),
        ((RAMP * 200).astype(np.float32), dict(white=(1000,), expected=0.2), 'float data from 0 to 1000, by the file'),
    ],
)
def test_a_ramp_stays_a_ramp(array, info, rule):
    expected = RAMP * 255 * info.pop('expected', 1)
    before = array.copy()
    found, name = scale_to_8bit(array, info)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, expected, atol=1.01)
    assert name.startswith(rule)
    np.testing.assert_array_equal(array, before)


def test_16_bits_that_use_their_range_stay_bitwise_as_they_were():
    array = np.random.default_rng(0).integers(0, 65536, (50, 50), dtype=np.uint16)
    np.testing.assert_array_equal(scale_to_8bit(array, {})[0], array // 257)
    np.testing.assert_array_equal(scale_to_8bit(array // 40, dict(bits=16))[0], array // 40 // 257)


def test_8_bits_in_16_are_taken_as_they_are():
    np.testing.assert_array_equal(scale_to_8bit(ints(200), {})[0], ints(200))


@pytest.mark.parametrize('dtype', [np.uint16, np.int32, np.float32])
def test_black_has_no_rule(dtype):
    found, rule = scale_to_8bit(np.zeros((4, 4), dtype), {})
    assert (rule, found.max()) == ('', 0)


def test_nan_is_black_and_infinity_the_end_of_the_data():
    array = RAMP.astype(np.float32)
    array[0, :3] = np.nan, np.inf, -np.inf
    found, rule = scale_to_8bit(array, {})
    assert rule == 'float data from 0 to 1, NaN as black'
    assert found[0, :3].tolist() == [0, 255, found[0, 3]]
    np.testing.assert_allclose(found[1:], EIGHT[1:], atol=1)
    assert scale_to_8bit(np.full((3, 3), np.nan, np.float32), {})[0].max() == 0


def test_a_little_over_and_under_the_range_is_clipped():
    array = (RAMP * 1.1 - 0.02).astype(np.float32)
    found, rule = scale_to_8bit(array, {})
    assert rule == 'float data from 0 to 1'
    np.testing.assert_allclose(found, (RAMP * 1.1 - 0.02).clip(0, 1) * 255, atol=1)


def test_a_file_that_says_less_than_its_data_is_not_believed():
    found, rule = scale_to_8bit(ints(65535), dict(white=(255,)))
    assert rule == '16-bit data over the whole range'
    np.testing.assert_allclose(found, EIGHT, atol=1)


# -- files -----------------------------------------------------------------------------------------------------


def png(array, colour_type, significant=None, transparent=None):
    """A PNG file of 16 bits, by hand: big-endian rows, each after a byte for no filter."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in array)
    height, width = array.shape[:2]
    parts = [chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 16, colour_type, 0, 0, 0))]
    if significant is not None:
        parts.append(chunk(b'sBIT', bytes(significant)))
    if transparent is not None:
        parts.append(chunk(b'tRNS', struct.pack(f'>{len(transparent)}H', *transparent)))
    return b'\x89PNG\r\n\x1a\n' + b''.join([*parts, chunk(b'IDAT', zlib.compress(rows)), chunk(b'IEND', b'')])


@pytest.mark.parametrize('most', [65535, 4095, 1023, 255])
@pytest.mark.parametrize('form', ['png', 'tiff', 'tiff compressed', 'pgm', 'jp2'])
def test_grey_files_keep_their_brightness(tmp_path, most, form):
    path = tmp_path / f'a.{form.split()[0]}'
    options = dict(compression='tiff_lzw') if 'compressed' in form else {}
    if form == 'pgm':
        path.write_bytes(b'P5 36 24 %d\n' % most + ints(most).astype('>u2' if most > 255 else 'u1').tobytes())
    else:
        # Pillow writes JPEG 2000 at the depth of 16 bits, so its data are of 16 bits by the file.
        Image.fromarray(ints(65535 if form == 'jp2' else most)).save(path, **options)
    np.testing.assert_allclose(grey(path), EIGHT, atol=1)


def test_a_dark_file_of_a_format_that_says_its_depth_stays_dark(tmp_path):
    (tmp_path / 'a.pgm').write_bytes(b'P5 36 24 65535\n' + ints(4000).astype('>u2').tobytes())
    Image.fromarray(ints(4000)).save(tmp_path / 'a.jp2', irreversible=False)
    (tmp_path / 'a.png').write_bytes(png(ints(4000), 0, significant=[16]))
    for name in ('a.pgm', 'a.jp2', 'a.png'):
        np.testing.assert_array_equal(grey(tmp_path / name), ints(4000) // 257)


def test_significant_bits_of_a_png_say_what_white_is(tmp_path):
    (tmp_path / 'a.png').write_bytes(png(ints(900), 0, significant=[12]))
    np.testing.assert_allclose(grey(tmp_path / 'a.png'), RAMP * 255 * 900 / 4095, atol=1)
    (tmp_path / 'a.png').write_bytes(png(ints(65535) // 16 * 16, 0, significant=[12]))  # scaled, as the standard wants
    np.testing.assert_allclose(grey(tmp_path / 'a.png'), EIGHT, atol=1)


@pytest.mark.parametrize('dtype', [np.float32, np.int32])
@pytest.mark.parametrize('most', [1, 255, 65535])
def test_tiff_of_32_bits(tmp_path, dtype, most):
    array = (RAMP * most).astype(dtype) if dtype == np.float32 else ints(most, dtype)
    Image.fromarray(array).save(tmp_path / 'a.tif')
    if dtype == np.int32 and most == 1:
        np.testing.assert_array_equal(grey(tmp_path / 'a.tif'), array)  # two values of 8 bits
    else:
        np.testing.assert_allclose(grey(tmp_path / 'a.tif'), EIGHT, atol=1)


def tiff(path, array, **tags):
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[getattr(TiffImagePlugin, tag)] = value
    Image.fromarray(array).save(path, tiffinfo=info)


TiffImagePlugin.MAXSAMPLEVALUE = 281


def test_tags_of_tiff_say_what_white_is(tmp_path):
    tiff(tmp_path / 'a.tif', ints(900), MAXSAMPLEVALUE=2000)
    np.testing.assert_allclose(grey(tmp_path / 'a.tif'), RAMP * 255 * 900 / 2000, atol=1)
    assert decoded(tmp_path / 'a.tif').rule == 'data from 0 to 2000, by the file'


def test_a_tiff_whose_0_is_white_is_inverted(tmp_path):
    path = tmp_path / 'a.tif'
    Image.fromarray(ints(65535)).save(path)
    content = bytearray(path.read_bytes())
    start = struct.unpack('<I', content[4:8])[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack('<H', content[start : start + 2])[0], 12):
        if struct.unpack('<H', content[entry : entry + 2])[0] == 262:
            content[entry + 8 : entry + 10] = struct.pack('<H', 0)
    path.write_bytes(content)
    np.testing.assert_array_equal(grey(path), 255 - ints(65535) // 257)
    assert decoded(path).rule.endswith('inverted: the file says that 0 is white')


COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)


@pytest.mark.parametrize('most', [65535, 16383, 4095, 1023])
@pytest.mark.parametrize('alpha', [False, True])
def test_colours_of_16_bits_keep_their_brightness(tmp_path, most, alpha):
    array = np.round(COLOURS * most).astype(np.uint16)
    if alpha:
        array = np.concatenate([array, np.full((24, 36, 1), most, np.uint16)], axis=2)
    (tmp_path / 'a.png').write_bytes(png(array, 6 if alpha else 2))
    found = decoded(tmp_path / 'a.png')
    np.testing.assert_allclose(found.pixels, COLOURS * 255, atol=1)
    if most == 65535:  # Pillow's, as ever
        np.testing.assert_array_equal(found.pixels, np.asarray(Image.open(tmp_path / 'a.png').convert('RGB')))
    assert found.rule.startswith('16-bit data' if most == 65535 else f'{most.bit_length()}-bit data')


@pytest.mark.parametrize('compression', ['none', 'lzw'])
def test_colours_of_16_bits_in_tiff(tmp_path, compression):
    cv2 = pytest.importorskip('cv2')
    array = np.round(COLOURS * 4095).astype(np.uint16)
    flags = [cv2.IMWRITE_TIFF_COMPRESSION, dict(none=1, lzw=5)[compression]]
    assert cv2.imwrite(str(tmp_path / 'a.tif'), array[..., ::-1], flags)
    found = decoded(tmp_path / 'a.tif')
    np.testing.assert_allclose(found.pixels, COLOURS * 255, atol=1)
    assert found.rule == '12-bit data in 16 bits: divided by 4095'


def test_a_transparent_colour_of_16_bits_is_compared_in_all_of_them(tmp_path):
    array = np.full((2, 2, 3), 40000, np.uint16)
    array[0, 0, 0] += 1
    (tmp_path / 'a.png').write_bytes(png(array, 2, transparent=(40001, 40000, 40000)))
    assert decoded(tmp_path / 'a.png').pixels[:, :, 0].tolist() == [[255, 156], [156, 156]]
    (tmp_path / 'b.png').write_bytes(png(array[..., 0], 0, transparent=(40001,)))
    assert decoded(tmp_path / 'b.png').pixels[:, :, 0].tolist() == [[255, 155], [155, 155]]


# -- the key ---------------------------------------------------------------------------------------------------


def test_the_key_says_the_bits_of_a_whole_set(tmp_path):
    Image.fromarray(ints(900)).save(tmp_path / 'dark.png')
    np.testing.assert_allclose(grey(tmp_path / 'dark.png', bits=12), RAMP * 255 * 900 / 4095, atol=1)
    np.testing.assert_array_equal(grey(tmp_path / 'dark.png', bits=16), ints(900) // 257)
    array = np.round(COLOURS * 900).astype(np.uint16)
    (tmp_path / 'colours.png').write_bytes(png(array, 2))
    np.testing.assert_allclose(decoded(tmp_path / 'colours.png', bits=12).pixels, COLOURS * 255 * 900 / 4095, atol=1)
    Image.fromarray((RAMP * 0.5).astype(np.float32)).save(tmp_path / 'a.tif')
    np.testing.assert_allclose(grey(tmp_path / 'a.tif', bits='float'), EIGHT / 2, atol=1)


def test_the_key_changes_nothing_in_images_of_8_bits(tmp_path):
    Image.fromarray(EIGHT.astype(np.uint8)).save(tmp_path / 'a.png')
    for bits in (None, 8, 12, 'float'):
        np.testing.assert_array_equal(grey(tmp_path / 'a.png', bits=bits), EIGHT)


@pytest.mark.parametrize('bits', [0, 9, '12', 'floats', True, 12.5])
def test_other_bits_are_refused(bits):
    with pytest.raises(ConfigError, match=r"^bits: found .*, expected None, 'float' or one of 8, 10, 12, 14, 16"):
        LoadRGBImage(bits=bits)


def test_a_view_with_bits_is_another_view_and_the_default_is_not_stored():
    plain, deep = View(size=8), View(size=8, bits=12, transparency=[1, 2, 3])
    assert set(plain.as_config()) == {'type', 'size', 'interpolation', 'backend'}
    assert plain == View(size=8, bits=None, transparency='white')
    assert plain != deep
    assert deep.as_config()['bits'] == 12
    assert View(**{key: value for key, value in deep.as_config().items() if key != 'type'}) == deep
    assert 'bits=12, transparency=[1, 2, 3]' in repr(deep)
