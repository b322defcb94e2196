"""What is said of one image and of a set; the kinds of faults have their tests with `check`."""

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import LoadRGBImage
from cssa_mm.datasets.images.image_facts import image_facts
from cssa_mm.datasets.images.image_sets import depth_rules, mixed_depth_rules, plain_images

PIXELS = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)


def facts_of(path, pixels, **options):
    Image.fromarray(pixels).save(path)
    return image_facts(LoadRGBImage(**options), str(path))


@pytest.mark.parametrize(
    ('pixels', 'kinds'),
    [
        (PIXELS, set()),
        (np.full((64, 64, 3), 90, np.uint8), {'one colour'}),
        (np.full((64, 64, 3), (200, 10, 90), np.uint8), {'one colour'}),
        (np.zeros((64, 64, 3), np.uint8), {'one colour', 'nearly black'}),
        (PIXELS // 16, {'nearly black'}),
        (PIXELS // 16 + np.uint8(100), set()),
        (np.where(RAMP[..., None] > 0.99, 255, 0).astype(np.uint8).repeat(3, axis=2), set()),  # stars in the night
    ],
)
def test_black_and_plain_images_are_known(tmp_path, pixels, kinds):
    assert set(facts_of(tmp_path / 'a.png', pixels).oddities) & {'one colour', 'nearly black'} == kinds


def test_large_images_are_judged_alike(tmp_path):
    big = np.zeros((1500, 1100, 3), np.uint8)
    assert set(facts_of(tmp_path / 'a.png', big).oddities) == {'one colour', 'nearly black'}
    big[:, ::2] = 200
    assert facts_of(tmp_path / 'a.png', big).oddities == ()


def test_a_transparent_drawing_is_judged_on_its_ground(tmp_path):
    drawing = np.zeros((64, 64, 4), np.uint8)
    drawing[20:40, 20:40, 3] = 255
    found = facts_of(tmp_path / 'a.png', drawing)
    assert (found.oddities, found.look is not None) == (('transparent',), True)


def test_the_rule_of_a_deep_image_is_a_fact(tmp_path):
    found = facts_of(tmp_path / 'a.png', (RAMP * 4095).astype(np.uint16))
    assert (found.format, found.rule) == ('PNG', '12-bit data in 16 bits: divided by 4095')
    assert '16-bit' in found.oddities
    assert facts_of(tmp_path / 'a.png', PIXELS).rule == ''
    assert facts_of(tmp_path / 'b.tif', RAMP.astype(np.float32)).oddities == ('16-bit',)


def test_a_set_under_several_rules_is_questioned_by_format(tmp_path):
    deep = [(RAMP * most).astype(np.uint16) for most in (4095, 900, 4000)]
    facts = [facts_of(tmp_path / 'a.png', pixels) for pixels in [*deep, PIXELS]]
    assert mixed_depth_rules(facts) == {
        'PNG': {
            '12-bit data in 16 bits: divided by 4095': [0, 2],
            '10-bit data in 16 bits: divided by 1023': [1],
        }
    }
    assert mixed_depth_rules([facts[0], facts[3], facts_of(tmp_path / 'a.tif', deep[1])]) == {}
    assert depth_rules(facts)['12-bit data in 16 bits: divided by 4095'] == [0, 2]
    answered = [facts_of(tmp_path / 'a.png', pixels, bits=12) for pixels in deep]
    assert mixed_depth_rules(answered) == {}
    assert depth_rules(answered) == {'12-bit data, by the key bits': [0, 1, 2]}


def test_a_set_of_plain_images_is_questioned_and_a_few_are_not(tmp_path):
    black = np.zeros((64, 64, 3), np.uint8)
    facts = [facts_of(tmp_path / 'a.png', pixels) for pixels in [black] * 3 + [PIXELS] * 7]
    assert plain_images(facts) == {'one colour': [0, 1, 2], 'nearly black': [0, 1, 2]}
    assert plain_images(facts[1:]) == {'one colour': [0, 1], 'nearly black': [0, 1]}
    assert plain_images(facts[2:]) == {}
    assert plain_images([]) == {}
