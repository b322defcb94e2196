"""Small copies of photos: small enough, in the right shape, and with nothing but pixels in them."""

import io

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets.images.decoding import Decoder
from cssa_mm.datasets.images.thumbnails import LADDER, thumbnail


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg))


def test_the_best_copy_that_fits_is_taken(noise):
    grey = np.full((1500, 2000, 3), 99, np.uint8)
    assert opened(thumbnail(grey, 100_000)).size == (1024, 768)
    assert len(thumbnail(noise, 60_000)) <= 60_000
    assert max(opened(thumbnail(noise, 1)).size) == LADDER[-1].side


def test_small_photos_are_not_blown_up():
    assert opened(thumbnail(np.zeros((20, 30, 3), np.uint8), 10**6)).size == (30, 20)


def test_a_photo_with_gps_and_a_turn_is_upright_and_bare(tmp_path):
    photo = Image.new('RGB', (60, 30), 'red')
    exif = photo.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010F] = 'MAKER-OF-CAMERAS'
    exif.get_ifd(0x8825).update({1: 'N', 2: (48.0, 8.0, 0.0)})
    photo.save(tmp_path / 'a.jpg', exif=exif, comment=b'SECRET')
    content = (tmp_path / 'a.jpg').read_bytes()
    assert b'MAKER-OF-CAMERAS' in content
    jpeg = thumbnail(Decoder().decode_file(content, 'a.jpg').pixels, 10**6)
    assert opened(jpeg).size == (30, 60)
    assert not dict(opened(jpeg).getexif())
    assert not {'exif', 'comment', 'icc_profile'} & set(opened(jpeg).info)
    assert b'MAKER-OF-CAMERAS' not in jpeg
    assert b'SECRET' not in jpeg
