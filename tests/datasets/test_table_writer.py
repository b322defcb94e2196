"""Our own tables say what they were given when they are read back, or are refused."""

import csv

import numpy as np
import pytest

from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.table_writer import Table, write_tables
from cssa_mm.errors import DataError

NAMES = ['cat', 'dining table', 'dog']


@pytest.fixture
def write(tmp_path):
    """write(labels, names) -> the form, the rows of the file, and what TableDataset reads of it."""

    def call(labels, names=NAMES, images=None):
        labels = np.array(labels, np.int8)
        images = images or [f'{number}.jpg' for number in range(len(labels))]
        (tmp_path / 'images').mkdir(exist_ok=True)
        for image in images:
            (tmp_path / 'images' / image).touch()
        form = write_tables(tmp_path, names, {'labels.csv': Table('images', images, labels)})
        with open(tmp_path / 'labels.csv', encoding='utf-8', newline='') as file:
            rows = list(csv.reader(file))
        data = TableDataset(data_root=str(tmp_path), ann_file='labels.csv', lazy_init=True)
        found = data.read_annotations()
        assert data.class_names == names
        assert dict(zip(found.image_ids, found.labels.tolist(), strict=True)) == dict(
            zip(images, labels.tolist(), strict=True)
        )
        assert (tmp_path / 'classes.txt').read_text('utf-8').splitlines() == names
        return form, rows

    return call


def test_rows_that_are_known_or_unknown_as_a_whole_hold_names(write):
    form, rows = write([[1, 1, 0], [0, 0, 0], [-1, -1, -1], [0, 0, 1]])
    assert form == 'class names with ; between them'
    assert rows == [
        ['image', 'labels'], ['0.jpg', 'cat;dining table'], ['1.jpg', 'none'], ['2.jpg', ''], ['3.jpg', 'dog'],
    ]  # fmt: skip


def test_rows_of_which_some_cells_are_known_have_a_column_a_class(write):
    form, rows = write([[1, -1, 0], [-1, -1, -1], [0, 1, 1]])
    assert form == 'a column a class, 1, 0 and blanks'
    assert rows == [['image', *NAMES], ['0.jpg', '1', '', '0'], ['1.jpg', '', '', ''], ['2.jpg', '0', '1', '1']]


def test_where_nothing_is_0_unknown_is_said_by_a_word(write):
    """A blank beside 1 alone may say either, and is refused when it is read."""
    form, rows = write([[1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    assert form == 'a column a class, 1, 0 and ?'
    assert rows[1] == ['0.jpg', '1', '?', '?']


@pytest.mark.parametrize('odd', ['a;b', 'none', 'x,y', 'one|two', 'a "b"', 'nan', "it's", '[x]', '=1+1', 'ä ö'])
def test_names_that_mean_something_else_in_a_cell_are_kept(write, odd):
    write([[1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0], [-1, -1, -1]], ['cat', odd, 'dog'])


def test_a_class_called_none_is_not_none_of_the_classes(write):
    form, rows = write([[0, 0], [1, 0], [0, 1]], ['cat', 'none'])
    assert form.startswith('a column a class')
    assert rows[1:] == [['0.jpg', '0', '0'], ['1.jpg', '1', '0'], ['2.jpg', '0', '1']]


@pytest.mark.parametrize('image', [' lead.jpg', 'a,b.jpg', '"q".jpg', "it's.jpg", 'ä 猫.jpg', 'semi;colon.png'])
def test_odd_names_of_images_are_kept_or_refused(write, image):
    problem = ''
    try:
        write([[1, 0, 0], [0, 1, 1]], images=[image, 'b.jpg'])
    except DataError as error:
        problem = str(error)
    assert not problem or problem.startswith('labels.csv: found labels that a table of ours does not give back')
    assert '\n' not in problem


def test_names_that_no_table_gives_back_are_refused(write):
    with pytest.raises(DataError, match=r'^labels.csv: found labels that a table of ours does not give back'):
        write([[1, 0], [0, 1]], ['cat', 'CAT'])
