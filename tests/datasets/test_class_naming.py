"""Where a data set has its classes from, and the words for them."""

import pytest

from cssa_mm.datasets import SemiMultiLabelDataset, TableDataset
from cssa_mm.datasets.class_words import ClassWords
from cssa_mm.errors import DataError

TABLE = 'image,labels\na.jpg,A1\nb.jpg,B2\nc.jpg,\n'
WORDS = 'name,prompt\nB2,mould;mildew\nA1,\n'


class Pets(SemiMultiLabelDataset):
    METAINFO = dict(classes=('cat', 'cafe\u0301'))


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'labels.csv').write_text(TABLE)
    (tmp_path / 'classes.csv').write_text(WORDS)
    (tmp_path / 'words.csv').write_bytes(WORDS.encode('utf-16'))
    (tmp_path / 'images').mkdir()
    for name in ('a', 'b', 'c'):
        (tmp_path / 'images' / f'{name}.jpg').touch()
    return tmp_path


def table(root, **options):
    return TableDataset(data_root=str(root), ann_file='labels.csv', lazy_init=True, **options)


def test_classes_of_the_type_are_in_one_form():
    data = Pets(lazy_init=True)
    assert data.class_names == ['cat', 'caf\u00e9']
    assert data.class_words == ClassWords.of({'cat': [], 'caf\u00e9': []})


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(classes_from=['no.csv', 'words.csv', 'labels.csv']),
        dict(class_names='words.csv'),
        dict(class_names={'B2': ['mould', 'mildew'], 'A1': ''}),
    ],
)
def test_a_class_file_gives_names_their_order_and_prompts(root, options):
    data = table(root, **options)
    assert data.class_words == ClassWords.of({'B2': ['mould', 'mildew'], 'A1': []})
    data.full_init()
    assert data.labels.tolist() == [[0, 1], [1, 0], [-1, -1]]


def test_without_a_class_file_the_labels_tell_the_classes(root):
    (root / 'classes.csv').unlink()
    assert table(root).class_words == ClassWords.of({'A1': [], 'B2': []})
    assert table(root, classes_from=['labels.csv']).class_words.is_plain


def test_names_of_one_data_set_are_not_those_of_another(root):
    assert not table(root).class_words.is_plain
    assert Pets(lazy_init=True, class_names=['A1']).class_words == ClassWords.of({'A1': []})
    assert Pets(lazy_init=True).class_names == ['cat', 'caf\u00e9']


def test_a_label_file_is_no_class_file(root):
    with pytest.raises(DataError, match=r"labels.csv: found neither a header with 'name' and 'prompt' nor a list"):
        table(root, class_names='labels.csv')
