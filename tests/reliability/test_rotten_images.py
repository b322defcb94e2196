"""Rotten images of every kind: each is named in one line, and in bad_images.txt, whenever it goes bad.

A training of which a few are rotten goes on; one with more stops.
"""

import io
import os
import shutil
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS
from PIL import Image

from cssa_mm.datasets.images.image_facts import image_facts
from cssa_mm.datasets.transforms import LoadRGBImage
from cssa_mm.errors import DataError, ImageError
from cssa_mm.semi import SemiSupervision

STRONG = {
    'train_dataloader.dataset.pipeline': [
        dict(type='View', size=None),
        dict(type='RandomFlip', prob=0.5),
        dict(type='Cutout', shape=16, prob=0.5),
        dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip')),
    ]
}


def encoded(form: str, mode: str = 'RGB', **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def png(width: int, height: int, data: bytes, *more: bytes) -> bytes:
    head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + b''.join(more) + chunk(b'IDAT', data) + chunk(b'IEND', b'')


def wrong_checksum() -> bytes:
    content = bytearray(encoded('PNG'))
    content[content.index(b'IHDR') + 4 + 13] ^= 0xFF
    return bytes(content)


def text_of_blanks() -> bytes:
    """Ten million blanks in a comment of a PNG."""
    return chunk(b'zTXt', b'a\0\0' + zlib.compress(b' ' * 10**7))


def ring_of_directories() -> bytes:
    """A TIFF whose first directory has no picture, and is followed by itself."""
    entry = struct.pack('<HHII', 256, 3, 1, 48)
    return b'II*\0' + struct.pack('<I', 8) + struct.pack('<H', 1) + entry + struct.pack('<I', 8)


ROTTEN = {
    'empty': lambda: b'',
    'truncated jpeg': lambda: encoded('JPEG')[:-700],
    'header alone': lambda: encoded('JPEG')[:20],
    'wrong checksum': wrong_checksum,
    'text': lambda: b'<html>404 not found</html>',
    'gif without frames': lambda: b'GIF89a\x30\0\x30\0\0\0\0;',
    'bomb': lambda: png(100_000, 100_000, zlib.compress(b'\0' * 10**6)),
    'bomb of texts': lambda: png(8, 8, zlib.compress(bytes(200)), *[text_of_blanks()] * 8),
    'ring of directories': ring_of_directories,
    'truncated webp': lambda: encoded('WEBP', lossless=True)[:200],
    'broken zlib': lambda: png(48, 48, b'\x78\x9cno stream'),
    'truncated cmyk': lambda: encoded('JPEG', 'CMYK', icc_profile=b'broken')[:-900],
}  # fmt: skip
PLACES = ('directory', 'ring of links', 'dead link')


def spoil(path: Path, kind: str) -> None:
    """Put something rotten in the place of an image."""
    path.unlink()
    if kind == 'directory':
        path.mkdir()
    elif kind == 'ring of links':
        path.symlink_to(path.name)
    elif kind == 'dead link':
        path.symlink_to('nowhere')
    else:
        path.write_bytes(ROTTEN[kind]())


# -- one image -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('kind', [*ROTTEN, *PLACES])
def test_a_rotten_image_is_named_in_one_line_and_fills_no_memory(tmp_path, kind):
    path = tmp_path / 'photo.jpg'
    path.touch()
    spoil(path, kind)
    tracemalloc.start()
    with pytest.raises(ImageError, match=f'^{path}: ') as error:
        LoadRGBImage().load(str(path))
    facts = image_facts(LoadRGBImage(), str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert '\n' not in str(error.value)
    assert facts.fault is not None
    assert facts.reason
    assert peak < 64 * 2**20


def test_enormous_images_are_told_apart(tmp_path):
    (tmp_path / 'photo.png').write_bytes(ROTTEN['bomb']())
    assert (tmp_path / 'photo.png').stat().st_size < 100_000
    assert image_facts(LoadRGBImage(), str(tmp_path / 'photo.png')).fault == 'enormous'
    with pytest.raises(ImageError, match='found an enormous image'):
        LoadRGBImage().load(str(tmp_path / 'photo.png'))


@pytest.mark.skipif(os.name == 'nt' or os.geteuid() == 0, reason='root may read everything')
def test_an_image_that_may_not_be_read_is_named(tmp_path):
    (tmp_path / 'photo.jpg').write_bytes(encoded('JPEG'))
    (tmp_path / 'photo.jpg').chmod(0)
    with pytest.raises(ImageError, match='Permission denied'):
        LoadRGBImage().load(str(tmp_path / 'photo.jpg'))


@pytest.mark.parametrize(
    'content',
    [
        encoded('JPEG', 'CMYK', icc_profile=b'broken'),
        encoded('JPEG', exif=b'Exif\0\0MM\0*\0\0\0\x08\xff\xff'),
        encoded('TIFF')[:4] + encoded('TIFF')[4:],
        encoded('PNG') + b'trailing bytes',
    ],
)
def test_odd_images_that_can_be_read_are_no_bad_ones(tmp_path, content):
    (tmp_path / 'photo.jpg').write_bytes(content)
    assert LoadRGBImage().load(str(tmp_path / 'photo.jpg')).shape == (48, 48, 3)


def test_a_tiff_whose_directories_go_round_ends(tmp_path):
    content = bytearray(encoded('TIFF'))
    start = struct.unpack('<I', content[4:8])[0]
    end = start + 2 + 12 * struct.unpack('<H', content[start : start + 2])[0]
    content[end : end + 4] = struct.pack('<I', start)
    (tmp_path / 'photo.tif').write_bytes(content)
    assert image_facts(LoadRGBImage(), str(tmp_path / 'photo.tif')).fault is None


# -- trainings ------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(toy_data, tmp_path) -> Path:
    return shutil.copytree(toy_data, tmp_path / 'data')


@pytest.fixture
def train(tiny_config, data, tmp_path):
    def call(**overrides):
        roots = {f'{part}_dataloader.dataset.data_root': str(data) for part in ('train', 'val', 'test')}
        quick = {'train_cfg.semi_epochs': 1, 'train_cfg.val_begin': 2}
        Runner.from_cfg(tiny_config(work_dir=str(tmp_path / 'run'), **roots, **quick, **STRONG, **overrides)).train()

    return call


@pytest.fixture
def victims(tiny_config, data):
    """victims(rows) -> path of an image -> what becomes of it: each kind once, of the images of these rows in turn."""
    dataset = DATASETS.build(tiny_config().train_dataloader.dataset)

    def make(*parts: str) -> dict[Path, str]:
        rows = [row for several in zip(*(getattr(dataset, part) for part in parts), strict=False) for row in several]
        paths = [data / 'train' / f'{dataset.image_ids[row]}.png' for row in rows]
        return dict(zip(paths, [*ROTTEN, *PLACES], strict=False))

    return make


def spoil_in_mid_epoch(monkeypatch, victims) -> None:
    """Images go bad after they were scored, and before the loader reads them."""
    begin_epoch = SemiSupervision.begin_epoch

    def then_spoil(self, epoch):
        report = begin_epoch(self, epoch)
        for path, kind in victims.items():
            if path.is_file() and not path.is_symlink():
                spoil(path, kind)
        return report

    monkeypatch.setattr(SemiSupervision, 'begin_epoch', then_spoil)


def listed(tmp_path) -> set[str]:
    return {line.split('\t')[0] for line in (tmp_path / 'run/bad_images.txt').read_text('utf-8').splitlines()}


def test_rotten_images_are_named_at_the_start_and_the_training_goes_on(train, victims, tmp_path):
    chosen = victims('labelled_indices', 'unlabelled_indices')
    assert len(chosen) == len(ROTTEN) + len(PLACES) > 10
    for path, kind in chosen.items():
        spoil(path, kind)
    train(**{'default_hooks.bad_images.max_share': 0.5})
    assert listed(tmp_path) == set(map(str, chosen))
    assert list((tmp_path / 'run').glob('epoch_2.pth'))


def test_rotten_images_are_named_in_mid_epoch_and_the_training_goes_on(train, victims, tmp_path, monkeypatch):
    chosen = victims('unlabelled_indices')  # all of them are drawn in an epoch
    spoil_in_mid_epoch(monkeypatch, chosen)
    train(**{'default_hooks.bad_images.max_share': 0.5})
    assert listed(tmp_path) == set(map(str, chosen))
    assert list((tmp_path / 'run').glob('epoch_2.pth'))


def test_more_than_one_in_a_thousand_stops_the_training_in_mid_epoch(train, victims, tmp_path, monkeypatch):
    spoil_in_mid_epoch(monkeypatch, dict(list(victims('unlabelled_indices').items())[:4]))
    with pytest.raises(DataError, match=r'expected at most 1 \(default_hooks.bad_images.max_share=0.001\)'):
        train()
    assert len(listed(tmp_path)) > 1
    assert not list((tmp_path / 'run').glob('epoch_2.pth'))
