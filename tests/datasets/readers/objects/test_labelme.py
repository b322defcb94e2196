"""labelme: a JSON file an image, with shapes or flags."""

import json

import numpy as np
import pytest
from PIL import Image

from cssa_mm.datasets import TableDataset
from cssa_mm.errors import DataError


@pytest.fixture
def read(tmp_path):
    """read({'1': content or None}, folder='images', path='{}.jpg') -> the data set; None is an image without file."""

    def make(files, folder='images', path='{}.jpg', **options) -> TableDataset:
        for name, content in files.items():
            for place in ('images', folder):
                (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / 'images' / f'{name}.jpg')
            if content is not None:
                content = (
                    content if isinstance(content, str) else json.dumps(content | dict(imagePath=path.format(name)))
                )
                (tmp_path / folder / f'{name}.json').write_text(content)
        return TableDataset(**dict(data_root=str(tmp_path), img_dir='images', ann_file=folder) | options)

    return make


def labels_of(data: TableDataset) -> dict[str, list[int]]:
    return dict(zip(data.image_ids, data.labels.tolist(), strict=True))


def shapes(*names: str, **flags: bool) -> dict:
    return dict(
        version='5.1', flags=flags, shapes=[dict(label=name, points=[[1, 2]], shape_type='rectangle') for name in names]
    )


FILES = {'1': shapes('cat', 'dog', 'dog'), '2': shapes('dog'), '3': shapes(), '4': None}
EXPECTED = {'1.jpg': [1, 1], '2.jpg': [0, 1], '3.jpg': [0, 0], '4.jpg': [-1, -1]}


@pytest.mark.parametrize(
    ('folder', 'path'),
    [
        ('images', '{}.jpg'),
        ('json', '../images/{}.jpg'),
        ('json', '..\\images\\{}.jpg'),
        ('json', '../../photos/{}.jpg'),
        ('json', '{}.jpg'),
    ],
)
def test_shapes_label_their_image(read, folder, path):
    data = read(FILES, folder, path)
    assert (data.understanding.format, data.class_names, labels_of(data)) == ('labelme', ['cat', 'dog'], EXPECTED)


def test_flags_are_labels(read):
    files = {
        '1': shapes(cat=True, dog=True),
        '2': shapes(cat=False, dog=True),
        '3': shapes(cat=False, dog=False),
        '4': None,
    }
    assert labels_of(read(files)) == EXPECTED


def test_shapes_or_flags_are_chosen(read):
    files = {'1': shapes('cat', sharp=True), '2': shapes('dog', sharp=False)}
    with pytest.raises(DataError, match='labels of 2 questions: shapes .*flags'):
        read(files)
    assert read(files, label_column='shapes', test_mode=True).class_names == ['cat', 'dog']
    assert labels_of(read(files, label_column='flags', test_mode=True)) == {'1.jpg': [1], '2.jpg': [0]}


def test_broken_files_are_named_and_others_left_out(read):
    with pytest.raises(DataError, match='2.json: found no valid JSON'):
        read(FILES | {'2': '{"shapes"'})
    data = read(FILES | {'4': '{"other": 1}'})
    assert labels_of(data) == EXPECTED
    assert list(data.understanding.left_out) == ['JSON files of another form']


def test_flags_that_are_no_object_are_refused(read):
    with pytest.raises(DataError, match='found flags that are no object'):
        read(FILES | {'2': shapes('cat') | dict(flags=['cat'])})
