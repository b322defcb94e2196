import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cssa_mm.apis.reporting.gallery import MOST, MOST_LABELS, Thumbnails, chosen, pictures_of, shown_name
from cssa_mm.apis.reporting.scoring import ScoredImages
from cssa_mm.datasets.transforms import LoadRGBImage
from cssa_mm.errors import DataError
from cssa_mm.models.thresholds import ClassThresholds


class Photos:
    """A data set as a gallery uses it."""

    def __init__(self, paths):
        self.img_paths = [str(path) for path in paths]
        self.image_ids = [path.name for path in paths]

    def read_bytes(self, path, expected):
        try:
            with open(path, 'rb') as file:
                return file.read()
        except OSError as error:
            raise DataError(f'{path}: cannot be read') from error


@pytest.fixture
def photo(tmp_path):
    """A photo 90 wide and 60 high of a camera that was held upright, red at its left, with a place in its EXIF."""
    pixels = np.full((60, 90, 3), (0, 0, 255), np.uint8)
    pixels[:, :45] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to the right
    exif.get_ifd(0x8825)[1] = 'N'
    Image.fromarray(pixels).save(tmp_path / 'photo.jpg', exif=exif, quality=95)
    return tmp_path / 'photo.jpg'


def scored(scores, labels, threshold=0.5):
    scores, labels = np.array(scores, np.float32), np.array(labels, np.int8)
    return ScoredImages(np.arange(len(scores)), scores, scores, scores >= threshold, labels)


def opened(address):
    return Image.open(io.BytesIO(base64.b64decode(address.split(',', 1)[1])))


def test_thumbnails_are_upright_and_carry_nothing_but_pixels(photo):
    image = opened(Thumbnails(LoadRGBImage()).of(Photos([photo]), 0))
    assert (image.width, image.height) == (60, 90)
    red, _, blue = image.getpixel((30, 10))
    assert red > 200 > 60 > blue
    assert not image.getexif()
    assert b'Exif' not in image.fp.getvalue() if hasattr(image.fp, 'getvalue') else True


def test_an_image_that_is_gone_and_one_beyond_the_budget_have_no_thumbnail(photo, tmp_path):
    data = Photos([photo, tmp_path / 'gone.jpg'])
    thumbnails = Thumbnails(LoadRGBImage(), budget=3000)
    assert thumbnails.of(data, 1) == ''
    shown = [thumbnails.of(data, 0) for _ in range(20)]
    assert shown[0]
    assert not shown[-1]
    assert sum(map(len, shown)) <= 3000


def test_best_worst_and_uncertain_images_are_those_and_each_class_has_its_worst():
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 40)) < 0.1).astype(int)
    scores = np.where(labels, 0.9, 0.1) + rng.uniform(-0.05, 0.05, labels.shape)
    scores[7] = 1 - scores[7]
    scores[8] = 0.5
    scores[9], labels[9] = np.where(labels[9], 0.99, 0.01), labels[9]
    labels[9, 0], scores[9, 0] = 1, 0.99
    labels[10], scores[10] = 0, 1e-3  # nothing to see: no best image
    kinds = chosen(scored(scores, labels))
    assert 'worst' in kinds[7]
    assert 'uncertain' in kinds[8]
    assert 'best' in kinds[9]
    assert 'best' not in kinds.get(10, [])
    assert 60 < len(kinds) <= MOST
    assert ['class'] in kinds.values()


def test_images_of_which_nothing_is_known_are_neither_good_nor_bad():
    kinds = chosen(scored([[0.2, 0.9], [0.6, 0.4]], [[-1, -1], [-1, -1]]))
    assert set().union(*kinds.values()) == {'uncertain'}


def test_a_picture_names_what_was_right_wrong_and_missed_and_takes_an_overlay(photo):
    model = SimpleNamespace(class_names=['a', 'b', 'c', 'd', 'e'], thresholds=ClassThresholds((0.5,) * 5))
    asked = []

    def overlay(index, c):
        asked.append((index, c))
        return Image.new('RGBA', (8, 8), (255, 0, 0, 90)) if c == 1 else None

    tested = scored([[0.9, 0.8, 0.2, 0.1, 0.7]], [[1, 0, 1, 0, -1]])
    (picture,) = pictures_of(model, Photos([photo]), tested, Thumbnails(LoadRGBImage()), overlay)
    assert [(label.name, label.kind) for label in picture.labels] == [
        ('c', 'missed'),
        ('a', 'right'),
        ('b', 'wrong'),
        ('e', 'unknown'),
    ]
    assert {label.name for label in picture.labels if label.overlay} == {'b'}
    assert opened(picture.labels[2].overlay).mode == 'RGBA'
    assert sorted(asked) == [(0, 0), (0, 1), (0, 2), (0, 4)]
    assert picture.loss == pytest.approx(-np.mean(np.log([0.9, 0.2, 0.2, 0.9])), rel=1e-5)


def test_an_image_with_hundreds_of_labels_shows_a_few(photo):
    model = SimpleNamespace(class_names=[str(c) for c in range(300)], thresholds=ClassThresholds((0.5,) * 300))
    (picture,) = pictures_of(model, Photos([photo]), scored([[0.9] * 300], [[0] * 300]), Thumbnails(LoadRGBImage()))
    assert len(picture.labels) == MOST_LABELS


def test_the_name_of_an_image_tells_nothing_of_the_machine():
    assert shown_name('/home/anna/photos/1.jpg') == '1.jpg'
    assert shown_name('trip/1.jpg') == 'trip/1.jpg'
