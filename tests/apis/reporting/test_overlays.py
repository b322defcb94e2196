"""Pictures of where the model looked: the map of each label, over its own image, for the first labels alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from cssa_mm.apis.reporting.overlays import MOST, SIDE, Overlays, overlays_of


@pytest.fixture
def photos(tmp_path):
    """A data set of two photos and a file that is none."""
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (90, 180, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'{number}.png')
    (tmp_path / '2.png').write_bytes(b'no image')
    paths = [str(tmp_path / f'{number}.png') for number in range(3)]
    return SimpleNamespace(img_paths=paths, read_bytes=lambda path, what: open(path, 'rb').read())


@pytest.fixture
def model(make_model):
    return make_model(view=dict(type='View', size=64)).eval()


def test_each_label_and_image_has_a_picture_of_its_own(model, photos):
    overlays = Overlays(model, photos)
    found = [overlays(index, c) for index in (0, 1) for c in (0, 1)]
    assert all(picture.size == (SIDE, SIDE // 2) and picture.mode == 'RGB' for picture in found)
    assert len({picture.tobytes() for picture in found}) == 4


def test_the_brightest_place_is_that_of_the_map(model, photos):
    overlays = Overlays(model, photos)
    black = np.zeros((90, 180, 3), np.uint8)
    Image.fromarray(black).save(photos.img_paths[0])
    overlays(0, 0)
    # Over a black image, brightness is the map's.
    heat = overlays._maps.of(0, 1).spread((SIDE // 2, SIDE))
    shown = np.asarray(overlays(0, 1), float).sum(-1)
    assert np.corrcoef(heat.ravel(), shown.ravel())[0, 1] > 0.9


def test_only_the_first_labels_of_an_image_get_one_and_bad_images_none(model, photos):
    overlays = Overlays(model, photos)
    assert [overlays(0, c) is not None for c in range(5)] == [True] * MOST + [False] * (5 - MOST)
    assert overlays(2, 0) is None
    assert overlays(1, 4) is not None


def test_a_model_that_looks_nowhere_gives_none(make_model, photos):
    blind = make_model(view=dict(type='View', size=64), head=dict(label_specific=False))
    assert overlays_of(blind.eval(), photos) is None
    assert overlays_of(None, photos) is None
    assert torch.is_grad_enabled()
