import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets.voc import VOCMultiLabelDataset
from cssa_mm.datasets.voc_boxes import voc_boxes
from cssa_mm.errors import DataError

BOX = '<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>'


@pytest.fixture
def read(tmp_path):
    """read(objects, size) -> the boxes and the size of an image whose XML holds them."""
    for folder in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'ImageSets' / 'Main' / 'train.txt').write_text('7\n')
    Image.new('RGB', (8, 8)).save(tmp_path / 'JPEGImages' / '7.jpg')

    def call(objects: str, size: str = '<size><width>90</width><height>60</height></size>'):
        (tmp_path / 'Annotations' / '7.xml').write_text(f'<annotation>{size}{objects}</annotation>')
        return voc_boxes(VOCMultiLabelDataset(data_root=str(tmp_path), class_names=['cat', 'dog', 'person']), '7')

    return call


def test_boxes_are_read_by_class_in_pixels_from_the_corner(read):
    """VOC counts from 1 and includes the last pixel: a box of the whole image is 1, 1, width, height there."""
    dog = f'<object><name>dog</name>{BOX.format(1, 1, 90, 60)}</object>'
    cats = ''.join(f'<object><name> cat </name>{BOX.format(*box)}</object>' for box in ((11, 21, 30, 40), (5, 5, 6, 6)))
    person = '<object><name>person</name></object>'
    boxes, size = read(dog + cats + person)
    assert size == (90, 60)
    assert sorted(boxes) == [0, 1]  # cat and dog; a person without a box is left out
    np.testing.assert_array_equal(boxes[1], [[0, 0, 90, 60]])
    np.testing.assert_array_equal(boxes[0], [[10, 20, 30, 40], [4, 4, 6, 6]])


@pytest.mark.parametrize(
    ('objects', 'size', 'message'),
    [
        (f'<object><name>dog</name>{BOX.format(1, "x", 3, 4)}</object>', None, "7.xml: found 'x' as ymin, expected a"),
        (f'<object><name>dgo</name>{BOX.format(1, 1, 3, 4)}</object>', None, "found class 'dgo'"),
    ],
)
def test_a_broken_file_is_named(read, objects, size, message):
    with pytest.raises(DataError, match=message):
        read(objects, *([] if size is None else [size]))


@pytest.mark.parametrize('size', ['', '<size><width>0</width><height>0</height></size>'])
def test_a_file_without_size_has_that_of_its_image(read, size):
    assert read('<object><name>dog</name></object>', size) == ({}, (8, 8))
