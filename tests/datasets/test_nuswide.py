from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.datasets import NUSWIDEMultiLabelDataset
from cssa_mm.datasets.nuswide import NUSWIDE_CLASSES
from cssa_mm.errors import ConfigError, DataError

CONFIGS = Path(__file__).parents[2] / 'configs'
# What the photos show, in the order of the lists, which is not sorted on purpose. The last shows no concept.
TRAIN = {'zebra/0002_22.jpg': ['zebra', 'grass'], 'actor/0001_11.jpg': ['person'], 'actor/0003_33.jpg': []}
TEST = {'actor/0004_44.jpg': ['airport', 'plane']}


def write_numpy(root, part, photos, **replaced):
    labels = np.array([[float(name in shown) for name in NUSWIDE_CLASSES] for shown in photos.values()])
    arrays = dict(images=np.array(list(photos)), labels=labels) | replaced
    for name, array in arrays.items():
        np.save(root / f'formatted_{part}_{name}.npy', array)


@pytest.fixture(params=['numpy', 'text'])
def layout(request) -> str:
    return request.param


@pytest.fixture
def root(tmp_path) -> Path:
    """The numpy files."""
    for formatted, photos in (('train', TRAIN), ('val', TEST)):
        write_numpy(tmp_path, formatted, photos)
        for name in photos:
            (tmp_path / 'Flickr' / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / 'Flickr' / name).touch()
    return tmp_path


@pytest.fixture
def both(root) -> Path:
    """The official lists beside them, as they come: backslashes, a blank at the end of label lines, CRLF."""
    for folder in ('ImageList', 'TrainTestLabels'):
        (root / folder).mkdir()
    for official, photos in (('Train', TRAIN), ('Test', TEST)):
        lines = ''.join(f'{name}\r\n' for name in photos).replace('/', '\\')
        (root / 'ImageList' / f'{official}Imagelist.txt').write_bytes(lines.encode())
        for concept in NUSWIDE_CLASSES:
            column = ''.join(f'{int(concept in shown)} \n' for shown in photos.values())
            (root / 'TrainTestLabels' / f'Labels_{concept}_{official}.txt').write_text(column)
    return root


def positives(data):
    return {image_id: [data.class_names[c] for c in data.get_cat_ids(i)] for i, image_id in enumerate(data.image_ids)}


@pytest.mark.parametrize(('subset', 'photos'), [('train', TRAIN), ('test', TEST)])
def test_both_layouts_give_the_listed_photos_in_order_with_their_concepts(both, layout, subset, photos):
    data = NUSWIDEMultiLabelDataset(data_root=str(both), subset=subset, layout=layout)
    assert data.image_ids == list(photos)
    assert positives(data) == {name: sorted(shown) for name, shown in photos.items()}
    assert data.img_paths == [f'{both}/Flickr/{name}' for name in photos]
    assert data.labels.dtype == np.int8
    assert data.labels.shape == (len(photos), 81)


def test_photos_without_any_concept_are_labelled_negatives(both, layout):
    data = NUSWIDEMultiLabelDataset(data_root=str(both), layout=layout)
    assert data.is_labelled.all()
    assert data.labels[2].tolist() == [0] * 81


def test_the_81_concepts_are_distinct_and_stand_in_the_order_of_the_label_columns():
    assert len(set(NUSWIDE_CLASSES)) == 81
    assert list(NUSWIDE_CLASSES) == sorted(NUSWIDE_CLASSES)


def test_some_of_the_concepts_can_be_chosen_from_the_official_lists(both):
    data = NUSWIDEMultiLabelDataset(data_root=str(both), layout='text', class_names=['Zebra', 'person'])
    assert data.labels.tolist() == [[1, 0], [0, 1], [0, 0]]


def test_the_official_labels_may_lie_elsewhere(both):
    (both / 'Groundtruth').mkdir()
    (both / 'TrainTestLabels').rename(both / 'Groundtruth' / 'TrainTestLabels')
    data = NUSWIDEMultiLabelDataset(data_root=str(both), layout='text', label_dir='Groundtruth/TrainTestLabels')
    assert positives(data)['actor/0001_11.jpg'] == ['person']


def test_observed_labels_may_be_unknown(root):
    labels = np.zeros((3, 81))
    labels[1, 0] = -1
    write_numpy(root, 'train', TRAIN, labels=labels)
    data = NUSWIDEMultiLabelDataset(data_root=str(root))
    assert data.labels[1, 0] == -1
    assert (data.labels == 0).sum() == 3 * 81 - 1


def test_the_config_reads_the_layout_of_the_papers(root):
    config = Config.fromfile(CONFIGS / '_base_' / 'datasets' / 'nus.py')
    for loader, photos in (('train_dataloader', TRAIN), ('val_dataloader', TEST), ('test_dataloader', TEST)):
        options = config[loader].dataset | dict(data_root=str(root), split=None)
        assert DATASETS.build(options).image_ids == list(photos)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(subset='trian'), "subset: found 'trian', expected one of train, test. Did you mean 'train'"),
        (dict(layout='numpi'), "layout: found 'numpi', expected one of numpy, text. Did you mean 'numpy'"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_one(root, options, message):
    with pytest.raises(ConfigError, match=message):
        NUSWIDEMultiLabelDataset(data_root=str(root), **options)


@pytest.mark.parametrize(
    ('layout', 'name', 'message'),
    [
        ('numpy', 'formatted_train_images.npy', "layout='text' reads the official lists"),
        ('numpy', 'formatted_train_labels.npy', 'expected a numpy file with the labels'),
        ('text', 'ImageList/TrainImagelist.txt', "layout='numpy' reads numpy files"),
        ('text', 'TrainTestLabels/Labels_cow_Train.txt', "expected the labels of class 'cow', one 0 or 1 a line"),
    ],
)
def test_a_missing_file_is_named_with_what_it_should_hold(both, layout, name, message):
    (both / name).unlink()
    with pytest.raises(DataError, match=f'{both}/{name}: cannot be read .*{message}'):
        NUSWIDEMultiLabelDataset(data_root=str(both), layout=layout)


@pytest.mark.parametrize(
    ('replaced', 'message'),
    [
        (dict(images=np.array([['a'], ['b'], ['c']])), 'images.npy: found an array of shape'),
        (
            dict(images=np.array([1, 2, 3])),
            'images.npy: found an array .* and type int64, expected one of n',
        ),
        (dict(images=np.array(['a', 'b', 'c'], object)), 'images.npy: found no readable array .*not as objects'),
        (dict(labels=np.zeros((2, 81))), r'labels.npy: found labels of shape \(2, 81\), expected \(3, 81\)'),
        (dict(labels=np.zeros((3, 80))), r'labels.npy: found labels of shape \(3, 80\), expected \(3, 81\)'),
        (dict(labels=np.full((3, 81), 2)), "labels.npy: found the label 2 of image 'zebra/0002_22.jpg' in column 0"),
        (dict(labels=np.full((3, 81), np.nan)), 'labels.npy: found the label nan'),
        (
            dict(images=np.array(['a/b.jpg', 'c.jpg', 'a\\b.jpg'])),
            "found image id 'a/b.jpg' more than once",
        ),
        (dict(images=np.array(['a.jpg', 'c.jpg', '../../x.jpg'])), r"images.npy: found the image '../../x.jpg', which"),
        (
            dict(images=np.array(['a.jpg', 'c.jpg', '/etc/x.jpg'])),
            "found the image '/etc/x.jpg', which lies",
        ),
    ],
)
def test_numpy_files_that_do_not_fit_are_refused_in_one_line(root, replaced, message):
    write_numpy(root, 'train', TRAIN, **replaced)
    with pytest.raises(DataError, match=message) as caught:
        NUSWIDEMultiLabelDataset(data_root=str(root))
    assert str(caught.value).startswith(f'{root}/formatted_train_')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content', [b'', b'no array', b'\x93NUMPY\x01\x00'])
def test_a_file_that_is_no_array_is_refused(root, content):
    (root / 'formatted_train_labels.npy').write_bytes(content)
    with pytest.raises(DataError, match='formatted_train_labels.npy: found no readable array'):
        NUSWIDEMultiLabelDataset(data_root=str(root))


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('TrainTestLabels/Labels_cow_Train.txt', '0\n1\n', 'found 2 labels, expected 3, one for each image of '),
        ('TrainTestLabels/Labels_cow_Train.txt', '0\nx\n1\n', "found 'x' as label 2, expected 0 or 1"),
        ('TrainTestLabels/Labels_cow_Train.txt', '0\n10\n', "found '10' as label 2, expected 0 or 1"),
        ('ImageList/TrainImagelist.txt', 'a.jpg\nb.jpg\na.jpg\n', "found image id 'a.jpg' more than once"),
        ('ImageList/TrainImagelist.txt', 'a.jpg\nb.jpg\n..\\..\\x.jpg\n', r"found the image '../../x.jpg', which lies"),
        ('ImageList/TrainImagelist.txt', b'\xff\xfea\x00', 'cannot be read as UTF-8 text'),
    ],
)
def test_official_lists_that_do_not_fit_are_refused_in_one_line(both, name, content, message):
    (both / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as caught:
        NUSWIDEMultiLabelDataset(data_root=str(both), layout='text')
    assert str(caught.value).startswith(f'{both}/{name}')
    assert '\n' not in str(caught.value)


def test_names_with_codes_of_no_letter_are_refused(root):
    path = root / 'formatted_train_images.npy'
    path.write_bytes(path.read_bytes().replace(b'z\0\0\0', b'z\0\0\x7f'))
    with pytest.raises(DataError, match='found no readable array .texts with codes of no letter'):
        NUSWIDEMultiLabelDataset(data_root=str(root))
