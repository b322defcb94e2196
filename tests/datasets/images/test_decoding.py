"""Transparency and the formats: composed by hand, or compared with the image that was written."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import LoadRGBImage
from cssa_mm.datasets.images.decoding import Decoder
from cssa_mm.errors import ConfigError, ImageError

RAMP = np.linspace(0, 255, 24 * 36).reshape(24, 36).astype(np.uint8)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)
ALPHA = RAMP.T.reshape(24, 36)
WHITE = np.array([255, 255, 255])


def load(path, **options):
    return LoadRGBImage(**options)(dict(img_path=str(path)))['img']


def composed(colours, alpha, ground=WHITE):
    share = alpha[..., None] / 255
    return colours * share + np.asarray(ground) * (1 - share)


def assert_close(found, expected, tolerance=0.51):
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize(
    ('key', 'ground'),
    [('white', (255, 255, 255)), ('mean', (122, 116, 104)), ([0, 0, 0], (0, 0, 0)), ((1, 200, 30), (1, 200, 30))],
)
@pytest.mark.parametrize('suffix', ['png', 'tif', 'webp', 'tga', 'jp2'])
def test_transparency_is_laid_on_the_ground(tmp_path, suffix, key, ground):
    path = tmp_path / f'a.{suffix}'
    image = Image.fromarray(np.concatenate([COLOURS, ALPHA[..., None]], axis=2))
    image.save(path, **(dict(lossless=True, exact=True) if suffix == 'webp' else {}))
    assert_close(load(path, transparency=key), composed(COLOURS, ALPHA, ground))


def test_hidden_colours_stay_hidden(tmp_path):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 1] = 255  # green, which nobody is to see
    pixels[2:6, 2:6] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    found = load(tmp_path / 'a.png')
    assert (found[0, 0].tolist(), found[3, 3].tolist()) == ([255, 255, 255], [255, 0, 0])


def test_grey_with_alpha(tmp_path):
    Image.merge('LA', [Image.fromarray(RAMP), Image.fromarray(ALPHA)]).save(tmp_path / 'a.png')
    assert_close(load(tmp_path / 'a.png'), composed(np.stack([RAMP] * 3, axis=-1), ALPHA))


@pytest.mark.parametrize('suffix', ['png', 'gif'])
def test_a_transparent_colour_of_a_palette(tmp_path, suffix):
    image = Image.fromarray(COLOURS).quantize(8)
    image.save(tmp_path / f'a.{suffix}', transparency=3)
    stored = np.asarray(image)
    expected = np.where((stored == 3)[..., None], WHITE, np.asarray(image.convert('RGB')))
    np.testing.assert_array_equal(load(tmp_path / f'a.{suffix}'), expected)


@pytest.mark.parametrize('mode', ['L', 'RGB', '1'])
def test_a_transparent_colour_without_alpha(tmp_path, mode):
    image = Image.fromarray(COLOURS).convert(mode)
    key = {'L': int(np.asarray(image.convert('L'))[3, 3]), 'RGB': tuple(COLOURS[3, 3].tolist()), '1': 0}[mode]
    image.save(tmp_path / 'a.png', transparency=key)
    pixels = np.asarray(image.convert('RGB'))
    hidden = (pixels == np.broadcast_to(key, 3)).all(axis=2)
    assert hidden.any()
    assert not hidden.all()
    np.testing.assert_array_equal(load(tmp_path / 'a.png'), np.where(hidden[..., None], WHITE, pixels))


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_a_transparent_grey_of_few_bits(tmp_path, bits):
    """Such a file's key counts its own levels, which Pillow scales to 255."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', 8 // bits, 1, bits, 0, 0, 0, 0))
    key = 2**bits - 1
    pixels = chunk(b'IDAT', zlib.compress(b'\0' + bytes([key << (8 - bits)])))  # the key, then zeros
    content = b'\x89PNG\r\n\x1a\n' + header + chunk(b'tRNS', struct.pack('>H', key)) + pixels + chunk(b'IEND', b'')
    found = Decoder(transparency=[10, 20, 30]).decode(content).pixels
    assert found[0].tolist() == [[10, 20, 30]] + [[0, 0, 0]] * (8 // bits - 1)


@pytest.mark.parametrize('mode', ['RGBA', 'LA', 'P', 'RGBa', 'La', 'PA'])
def test_opaque_images_stay_bitwise_as_they_are(mode):
    plain = Image.fromarray(COLOURS).convert('L' if mode.startswith('L') else 'RGB')
    if mode in ('P', 'PA'):
        plain = plain.quantize(16)
    image = {
        'RGBa': lambda: plain.convert('RGBA').convert('RGBa'),
        'La': lambda: plain.convert('LA').convert('La'),
    }.get(mode, lambda: plain.convert(mode))()
    np.testing.assert_array_equal(Decoder().to_rgb(image).pixels, np.asarray(plain.convert('RGB')))


def test_an_image_in_memory_is_treated_like_its_file():
    image = Image.fromarray(np.concatenate([COLOURS, ALPHA[..., None]], axis=2))
    assert_close(Decoder().to_rgb(image).pixels, composed(COLOURS, ALPHA))


@pytest.mark.parametrize('ground', ['black', [1, 2], [1, 2, 300], [0.5, 0, 0], 'whit'])
def test_another_ground_is_refused(ground):
    with pytest.raises(ConfigError, match="^transparency: found .*, expected 'white', 'mean' or three numbers"):
        LoadRGBImage(transparency=ground)


# -- formats ---------------------------------------------------------------------------------------------------


FORMATS = [
    'JPEG',
    'PNG',
    'WEBP',
    'BMP',
    'GIF',
    'TIFF',
    'PPM',
    'TGA',
    'PCX',
    'DDS',
    'SGI',
    'ICO',
    'JPEG2000',
    'AVIF',
]


@pytest.mark.parametrize('form', FORMATS)
def test_every_format_is_read_by_content_alone(form):
    Image.init()
    if form not in Image.SAVE:
        pytest.skip(f'this Pillow writes no {form}')
    side = 64
    ramp = np.linspace(20, 235, side)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], 120.0), axis=-1).astype(np.uint8)
    file = io.BytesIO()
    options = dict(sizes=[(side, side)]) if form == 'ICO' else {}
    Image.fromarray(pixels).save(file, form, **options)
    found = Decoder().decode_file(file.getvalue(), 'a').pixels
    error = np.abs(found.astype(int) - pixels).mean()
    assert error < (12 if form == 'GIF' else 3)


def test_postscript_is_refused_in_one_line(tmp_path):
    content = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n'
    with pytest.raises(ImageError, match='^a.jpg: found no readable image .EPS or PostScript.*, expected a format'):
        Decoder().decode_file(content, 'a.jpg')


EPS = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n'


@pytest.fixture
def no_program(monkeypatch):
    monkeypatch.setattr('subprocess.Popen', lambda *given, **named: pytest.fail('an external program is run'))
    monkeypatch.setattr('PIL.EpsImagePlugin.Ghostscript', lambda *given, **named: pytest.fail('Ghostscript is run'))


@pytest.mark.parametrize('content', [EPS, b'\xc5\xd0\xd3\xc6' + bytes(28) + EPS])
def test_eps_starts_no_program_whatever_its_name(no_program, content):
    with pytest.raises(ImageError, match=r'a.jpg: found no readable image .EPS or PostScript.*; convert it to PNG'):
        Decoder().decode_file(content, 'a.jpg')


def test_an_eps_image_of_pillow_starts_no_program(no_program):
    with pytest.raises(ImageError, match='found EPS, which only an external program draws'):
        Decoder().to_rgb(Image.open(io.BytesIO(EPS)))


HEIC = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic' + bytes(40)


def test_heic_names_the_package_that_reads_it(monkeypatch):
    monkeypatch.setattr('cssa_mm.datasets.images.decoding.has_heif', lambda: False)
    with pytest.raises(ImageError, match='^IMG.jpg: .* convert it to JPEG, or pip install pillow-heif.$'):
        Decoder().decode_file(HEIC, 'IMG.jpg')


def test_heic_is_read_where_the_package_is_there():
    heif = pytest.importorskip('pillow_heif')
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(COLOURS)).save(file, quality=95)
    found = Decoder().decode_file(file.getvalue(), 'a.heic').pixels
    assert np.abs(found.astype(int) - COLOURS).mean() < 12
