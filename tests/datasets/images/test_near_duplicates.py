"""Copies of photos are found and other photos are not, on pictures with the spectrum of photos; search by hand."""

import io
import random

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from cssa_mm.datasets import LoadRGBImage
from cssa_mm.datasets.images.image_facts import ImageFacts, image_facts
from cssa_mm.datasets.images.near_duplicates import (
    MAX_DISTANCE,
    colours_of,
    look_of,
    near_duplicates,
    near_duplicates_of,
)

WIDTH, HEIGHT, PHOTOS = 240, 180, 80


def photo(seed):
    """Noise whose strength falls with its frequency, as in photos, in colour."""
    rng = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH)[None]
    strength = 1 / np.maximum(np.hypot(down, across), 1 / WIDTH) ** 1.2
    grey = np.fft.ifft2(np.fft.fft2(rng.normal(size=(HEIGHT, WIDTH))) * strength).real
    tint = np.fft.ifft2(np.fft.fft2(rng.normal(size=(HEIGHT, WIDTH))) * strength).real
    grey, tint = grey / grey.std(), tint / tint.std()
    colours = np.stack([grey + 0.2 * tint, grey, grey - 0.2 * tint], axis=-1)
    return Image.fromarray((128 + 45 * colours).clip(0, 255).astype(np.uint8))


def saved_again(image, quality):
    file = io.BytesIO()
    image.save(file, 'JPEG', quality=quality)
    return Image.open(file)


def cut(image, share):
    left, top = round(image.width * share), round(image.height * share)
    return image.crop((left, top, image.width - left, image.height - top))


COPIES = {
    'half the size': lambda image: image.resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BICUBIC),
    'squeezed': lambda image: image.resize((224, 224), Image.Resampling.BILINEAR),
    'JPEG of quality 30': lambda image: saved_again(image, 30),
    'brighter': lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    'darker': lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    'more contrast': lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    'grey': lambda image: image.convert('L'),
    'cut': lambda image: cut(image, 0.015),
    'all of it': lambda image: saved_again(
        ImageEnhance.Brightness(cut(image, 0.01)).enhance(1.1).resize((120, 90)), 60
    ),
}


def look(image):
    return look_of(np.asarray(image.convert('RGB')))


@pytest.fixture(scope='module')
def photos():
    return [photo(seed) for seed in range(PHOTOS)]


@pytest.fixture(scope='module')
def looks(photos):
    return [look(image) for image in photos]


@pytest.mark.parametrize('kind', COPIES)
def test_copies_are_found(photos, looks, kind):
    copies = [look(COPIES[kind](image)) for image in photos]
    pairs = near_duplicates(looks, copies)
    assert sum(row == column for row, column in pairs) >= 0.95 * PHOTOS
    assert all(row == column for row, column in pairs)


def test_other_photos_are_not(looks):
    others = [look(photo(seed)) for seed in range(1000, 1000 + PHOTOS)]
    assert near_duplicates(looks, others) == []


@pytest.mark.parametrize('ground', [0, 7, 255])
def test_pictures_of_nothing_have_no_look(ground):
    noise = np.random.default_rng(0).integers(0, 3, (60, 80, 3))
    assert look_of(np.full((60, 80, 3), ground, np.uint8)) is None
    assert look_of((np.full((60, 80, 3), ground) + noise).clip(0, 255).astype(np.uint8)) is None


def test_tiny_pictures_are_no_problem():
    assert look_of(np.zeros((1, 1, 3), np.uint8)) is None
    assert look_of(np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20) is not None


@pytest.mark.parametrize('distance', [0, 5, MAX_DISTANCE, 60])
def test_every_pair_within_the_distance_is_found_and_no_other(distance):
    draw = random.Random(distance)
    looks = [draw.getrandbits(128) for _ in range(300)] + [None, 0, 2**128 - 1]
    others = [
        look ^ (2 ** draw.randrange(130) >> 2) ^ (2**bits - 1) for look, bits in zip(looks, range(40), strict=False)
    ]
    others += [None, *looks[-30:]]
    expected = [
        (row, column)
        for row, one in enumerate(looks)
        for column, other in enumerate(others)
        if one is not None and other is not None and (one ^ other).bit_count() <= distance
    ]
    assert near_duplicates(looks, others, distance) == expected
    assert len(expected) >= 29


@pytest.mark.parametrize('empty', [[], [None]])
def test_nothing_is_like_nothing(empty, looks):
    assert near_duplicates(empty, looks) == near_duplicates(looks, empty) == near_duplicates(empty, empty) == []


def test_the_same_files_are_no_near_duplicates(photos, tmp_path):
    facts = []
    for number, image in enumerate([photos[0], photos[0], photos[1], COPIES['half the size'](photos[0])]):
        image.save(tmp_path / f'{number}.png')
        facts.append(image_facts(LoadRGBImage(), str(tmp_path / f'{number}.png')))
    assert near_duplicates_of(facts[:1], facts[1:]) == [(0, 2)]


def test_drawings_of_one_shape_in_other_colours_are_no_copies_and_resized_ones_are():
    def drawing(ground, ink):
        pixels = np.full((96, 128, 3), ground, dtype=np.uint8)
        pixels[20:60, 10:60] = ink
        return pixels

    def facts(pixels, digest):
        return ImageFacts(None, '', (), digest, look=look_of(pixels), colours=colours_of(pixels))

    first, second = drawing((30, 100, 20), (200, 40, 140)), drawing((30, 100, 220), (200, 40, 240))
    copy = np.asarray(Image.fromarray(first).resize((90, 70)))
    train, test = [facts(first, 'a')], [facts(second, 'b'), facts(copy, 'c')]
    assert len(near_duplicates([train[0].look], [each.look for each in test])) == 2
    assert near_duplicates_of(train, test) == [(0, 1)]
