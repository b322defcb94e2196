"""The program beside an ONNX file: without torch and this package, and with the pixels of the view."""

import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import onnx
import pytest
from PIL import Image

from cssa_mm.apis.exporting import run_onnx
from cssa_mm.apis.exporting.run_onnx import pixels_of
from cssa_mm.apis.image_input import viewed
from cssa_mm.apis.predictor import Predictor
from cssa_mm.datasets.view import View

RAMP = np.linspace(0, 255, 40 * 50).reshape(40, 50).astype(np.uint8)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)
BOTH = np.concatenate([COLOURS, RAMP.T.reshape(40, 50, 1)], axis=2)
STEPS = dict(library='pillow', resize=[48, 32], interpolation='bicubic', ground=[255, 255, 255])
# Whatever is imported but Python, NumPy, onnxruntime and Pillow ends the program.
WITHOUT_TORCH = """
import runpy, sys
class Without:
    def find_spec(self, name, *rest):
        if name.split('.')[0] in 'torch torchvision mmengine mmcv mmpretrain open_clip cssa_mm onnx'.split():
            raise ImportError(f'{name} is not there')
sys.meta_path.insert(0, Without())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def run_program(*arguments, folder=None):
    words = [sys.executable, '-I', '-c', WITHOUT_TORCH, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, cwd=folder)


def png(array, colour_type, depth=16, transparent=b''):
    """A PNG of 16 bits, or of 4 bits of grey, which Pillow itself does not write."""
    height, width = array.shape[:2]
    rows = (
        array.astype('>u2').reshape(height, -1).view(np.uint8) if depth == 16 else array[:, ::2] * 16 + array[:, 1::2]
    )
    chunks = [(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour_type, 0, 0, 0))]
    chunks += [(b'tRNS', transparent)] if transparent else []
    chunks += [(b'IDAT', zlib.compress(b''.join(b'\0' + row.tobytes() for row in rows))), (b'IEND', b'')]
    parts = [
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def palette(**options):
    return Image.fromarray(COLOURS).quantize(16), 'png', options


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Image.fromarray(COLOURS), 'jpg', dict(exif=exif)


PHOTOS = {
    'JPEG': lambda: (Image.fromarray(COLOURS), 'jpg', {}),
    'grey JPEG': lambda: (Image.fromarray(RAMP), 'jpg', {}),
    'CMYK': lambda: (Image.fromarray(COLOURS).convert('CMYK'), 'jpg', {}),
    'upside down': lambda: turned(3),
    'on its side': lambda: turned(6),
    'mirrored on its side': lambda: turned(7),
    'PNG': lambda: (Image.fromarray(COLOURS), 'png', {}),
    'transparent': lambda: (Image.fromarray(BOTH), 'png', {}),
    'transparent grey': lambda: (Image.fromarray(BOTH).convert('LA'), 'png', {}),
    'a transparent colour': lambda: (Image.fromarray(COLOURS), 'png', dict(transparency=tuple(COLOURS[3, 4].tolist()))),
    'palette': palette,
    'palette, one colour transparent': lambda: palette(transparency=3),
    'palette with alpha': lambda: palette(transparency=bytes(range(0, 256, 16))),
    'GIF': lambda: (Image.fromarray(COLOURS).quantize(16), 'gif', dict(transparency=2)),
    'WebP': lambda: (Image.fromarray(BOTH), 'webp', dict(lossless=True, exact=True)),
    'black and white': lambda: (Image.fromarray(RAMP > 99), 'png', {}),
    'TIFF': lambda: (Image.fromarray(BOTH), 'tif', {}),
}  # fmt: skip
REFUSED = {
    '16-bit grey': (png(RAMP * 257.0, 0), 'more than 8 bits'),
    '16-bit colours': (png(COLOURS * 20.0, 2), 'more than 8 bits'),
    'a transparent grey': (png(RAMP // 16, 0, depth=4, transparent=b'\0\3'), 'one transparent value'),
}


@pytest.mark.parametrize('kind', PHOTOS)
@pytest.mark.parametrize('size', [(48, 32), None], ids=['resized', 'kept'])
def test_the_pixels_are_those_of_the_view(tmp_path, kind, size):
    image, suffix, options = PHOTOS[kind]()
    path = str(tmp_path / f'a.{suffix}')
    image.save(path, **options)
    expected, _ = viewed(path, View(size=size))
    found = pixels_of(path, STEPS | dict(resize=size and list(size)))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[0], expected.numpy())


@pytest.mark.parametrize('interpolation', ['nearest', 'bilinear', 'bicubic', 'box', 'lanczos', 'hamming'])
def test_every_interpolation_of_the_view_is_known(tmp_path, interpolation):
    path = str(tmp_path / 'a.png')
    Image.fromarray(COLOURS).save(path)
    expected, _ = viewed(path, View(size=(48, 32), interpolation=interpolation))
    np.testing.assert_array_equal(pixels_of(path, STEPS | dict(interpolation=interpolation))[0], expected.numpy())


def test_the_ground_of_the_model_is_below_transparent_pixels(tmp_path):
    path = str(tmp_path / 'a.png')
    Image.fromarray(BOTH).save(path)
    expected, _ = viewed(path, View(size=(48, 32), transparency='mean'))
    np.testing.assert_array_equal(pixels_of(path, STEPS | dict(ground=[122, 116, 104]))[0], expected.numpy())


@pytest.mark.parametrize('kind', REFUSED)
def test_what_it_would_read_in_another_way_is_refused(tmp_path, kind):
    content, message = REFUSED[kind]
    (tmp_path / 'a.png').write_bytes(content)
    viewed(str(tmp_path / 'a.png'), View(size=None))  # a whole file
    with pytest.raises(ValueError, match=message):
        pixels_of(str(tmp_path / 'a.png'), STEPS)


# -- as a program ----------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Photos of all kinds in one folder, and their paths."""
    folder, paths = tmp_path_factory.mktemp('photos'), []
    for number, make in enumerate(PHOTOS.values()):
        image, suffix, options = make()
        paths.append(folder / f'{number}.{suffix}')
        image.save(paths[-1], **options)
    return paths


@pytest.mark.parametrize('tower', ['rn', 'vit', 'timm'])
def test_its_scores_are_those_of_a_predictor(files, photos, tower):
    done = run_program(files[tower].path.with_name('run_onnx.py'), files[tower].path, *photos, '--scores')
    assert (done.returncode, done.stderr) == (0, '')
    for line, expected in zip(done.stdout.splitlines(), Predictor(files[tower].model).predict(photos), strict=True):
        path, rest = line.split(': ')
        assert path == expected.path
        found = [part.rsplit(' ', 1) for part in rest.split(', ')]
        assert [name for name, _ in found] == files[tower].model.class_names
        np.testing.assert_allclose([float(score) for _, score in found], expected.scores, rtol=0, atol=1e-4)


def test_its_labels_are_those_of_a_predictor(files, photos):
    done = run_program(files['timm'].path.with_name('run_onnx.py'), files['timm'].path, *photos)
    seen = set()
    for line, expected in zip(done.stdout.splitlines(), Predictor(files['timm'].model).predict(photos), strict=True):
        rest = line.split(': ')[1]
        labels = [] if rest == 'no label' else [part.rsplit(' ', 1)[0] for part in rest.split(', ')]
        assert labels == expected.labels
        seen |= set(labels)
    assert 0 < len(seen) < 6


@pytest.fixture
def changed(files, tmp_path):
    """changed('preprocessing', change) -> a copy of the ResNet's file whose JSON a function has changed."""

    def make(key, change):
        file = onnx.load(str(files['rn'].path))
        properties = {entry.key: entry.value for entry in file.metadata_props}
        properties[key] = json.dumps(change(json.loads(properties[key])))
        onnx.helper.set_model_props(file, properties)
        onnx.save(file, str(tmp_path / 'changed.onnx'))
        return tmp_path / 'changed.onnx'

    return make


def test_without_thresholds_a_photo_gets_its_best_class(files, photos, changed):
    path = changed('thresholds', lambda values: [None for _ in values])
    done = run_program(files['rn'].path.with_name('run_onnx.py'), path, photos[0])
    (expected,) = Predictor(files['rn'].model, top=1).predict(photos[0])
    name, score = done.stdout.strip().split(': ')[1].rsplit(' ', 1)
    assert [name] == expected.labels
    assert float(score) == pytest.approx(expected.scores.max(), abs=1e-4)


def test_images_that_another_library_resizes_are_refused(files, photos, changed):
    path = changed('preprocessing', lambda steps: steps | dict(library='cv2'))
    done = run_program(files['rn'].path.with_name('run_onnx.py'), path, photos[0])
    assert done.returncode == 1
    assert done.stderr.strip().endswith('its images are resized by cv2, this program has Pillow alone')


def test_a_photo_that_cannot_be_read_is_named_and_the_others_are_labelled(files, photos, tmp_path):
    (tmp_path / 'broken.jpg').write_bytes(b'nothing')
    (tmp_path / 'deep.png').write_bytes(REFUSED['16-bit grey'][0])
    bad = [tmp_path / 'broken.jpg', tmp_path / 'missing.jpg', tmp_path / 'deep.png']
    done = run_program(files['rn'].path.with_name('run_onnx.py'), files['rn'].path, photos[0], *bad, photos[1])
    assert done.returncode == 1
    assert [line.split(':')[0] for line in done.stdout.splitlines()] == [str(photos[0]), str(photos[1])]
    assert [line.split(': ')[:2] for line in done.stderr.splitlines()] == [['error', str(path)] for path in bad]


def test_without_photos_it_says_how_it_is_run(files):
    done = run_program(files['rn'].path.with_name('run_onnx.py'), files['rn'].path)
    assert done.returncode == 1
    assert 'python run_onnx.py model.onnx photo.jpg ... [--scores]' in done.stderr


def test_it_is_short_and_knows_nothing_of_this_package(files):
    text = files['rn'].path.with_name('run_onnx.py').read_text('utf-8')
    assert len([line for line in text.splitlines() if line.strip()]) <= 60
    assert 'import cssa_mm' not in text
    assert 'from cssa_mm' not in text


def test_a_file_that_says_nothing_of_its_classes_is_refused_in_one_line(tmp_path):
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ('image', 'scores')]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node('Identity', ['image'], ['scores'])], 'g', value[:1], value[1:]
    )
    opset = [onnx.helper.make_opsetid('', 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / 'other.onnx')
    done = run_program(run_onnx.__file__, tmp_path / 'other.onnx', 'photo.jpg')
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f'error: {tmp_path / "other.onnx"}: found no classes in its metadata, expected a file that cssa export wrote'
    ]
