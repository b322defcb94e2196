"""What is said of the training data serves validation, test and model; of another part alone it is refused."""

import json

import numpy as np
import pytest
from mmpretrain.registry import DATASETS
from PIL import Image

from cssa_mm import load_config
from cssa_mm.datasets import TableDataset
from cssa_mm.datasets.building import build_dataset
from cssa_mm.errors import ConfigError
from cssa_mm.models.class_names import resolve_class_names

TRAIN = 'train_dataloader.dataset'
FILE = {f'{TRAIN}.image_column': 'file', f'{TRAIN}.label_column': 'tags'}


def save(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path):
    for index in range(6):
        save(tmp_path / 'images' / f'{index}.png', index)
    (tmp_path / 'labels.csv').write_text('file,tags\n0.png,cat;dog\n1.png,dog\n2.png,none\n')
    (tmp_path / 'test.csv').write_text('file,tags\n4.png,cat\n5.png,none\n')
    return tmp_path


def parts(config):
    found = {name: build_dataset(config[f'{name}_dataloader'].dataset, name) for name in ('train', 'val', 'test')}
    for dataset in found.values():
        dataset.full_init()
    return found


def test_one_override_serves_all_parts_and_the_model(photos):
    config = load_config(photos, overrides=FILE)
    found = parts(config)
    assert {name: len(dataset) for name, dataset in found.items()} == dict(train=4, val=2, test=2)
    assert {name: dataset.class_names for name, dataset in found.items()} == dict.fromkeys(found, ['cat', 'dog'])
    assert resolve_class_names(config.model.class_names) == ['cat', 'dog']
    # The test images are in the folder of the training images, and unlabelled there.
    assert found['train'].image_ids == ['0.png', '1.png', '2.png', '3.png']


def test_preparing_a_config_twice_changes_nothing(photos):
    once = load_config(photos)
    assert load_config(once).to_dict() == once.to_dict()


@pytest.mark.parametrize('part', ['val', 'test'])
def test_an_option_of_another_part_alone_is_refused_with_the_key_to_set(photos, part):
    key = f'{part}_dataloader.dataset.image_column'
    with pytest.raises(ConfigError, match=f'{key}: .* set train_dataloader.dataset.image_column'):
        load_config(photos, overrides={key: 'file'})


def test_options_that_differ_are_left_alone(photos):
    overrides = {f'{TRAIN}.image_column': 'file', 'val_dataloader.dataset.image_column': 'path'}
    config = load_config(photos, overrides=overrides)
    columns = {name: config[f'{name}_dataloader'].dataset.image_column for name in ('train', 'val', 'test')}
    assert columns == dict(train='file', val='path', test='path')  # the test set follows the validation set


def test_without_test_labels_nothing_is_validated(photos):
    (photos / 'test.csv').unlink()
    config = load_config(photos)
    for name in ('val', 'test'):
        assert [config[f'{name}_{part}'] for part in ('dataloader', 'cfg', 'evaluator')] == [None] * 3
    assert config.train_dataloader.dataset.held_out == []


def test_class_names_given_for_the_training_set_are_those_of_every_part(photos):
    config = load_config(
        photos, overrides={f'{TRAIN}.class_names': ['dog', 'cat', 'sun'], f'{TRAIN}.image_column': 'file'}
    )
    assert {name: dataset.class_names for name, dataset in parts(config).items()} == dict.fromkeys(
        ('train', 'val', 'test'), ['dog', 'cat', 'sun']
    )
    assert resolve_class_names(config.model.class_names) == ['dog', 'cat', 'sun']


def test_a_label_file_of_another_folder_holds_its_images_out(tmp_path):
    """Roboflow's layout: the images of valid/ are neither unlabelled training images nor found by the wrong name."""
    for part, names in (('train', 'abc'), ('valid', 'de')):
        for name in names:
            save(tmp_path / part / f'{name}.png', ord(name))
    (tmp_path / 'train' / '_classes.csv').write_text('filename,cat,dog\na.png,1,0\nb.png,0,1\n')
    (tmp_path / 'valid' / '_classes.csv').write_text('filename,cat,dog\nd.png,1,0\ne.png,0,1\n')
    config = load_config(tmp_path)
    found = parts(config)
    assert {name: dataset.image_ids for name, dataset in found.items()} == dict(
        train=['a.png', 'b.png', 'c.png'], val=['d.png', 'e.png'], test=['d.png', 'e.png']
    )


def test_coco_and_voc_options_are_shared_too():
    overrides = {f'{TRAIN}.class_names': ['cat', 'dog']}
    config = load_config('cssa_coco_p05', overrides=overrides)
    for name in ('val', 'test'):
        assert config[f'{name}_dataloader'].dataset.class_names == ['cat', 'dog']
    assert resolve_class_names(config.model.class_names) == ['cat', 'dog']


def write_coco(root, part, shown, categories):
    """An instances file of images 0, 1, ..., each of which shows some of the categories."""
    for number in range(len(shown)):
        save(root / part / f'{number}.png', number)
    content = dict(
        images=[dict(id=number, file_name=f'{number}.png') for number in range(len(shown))],
        annotations=[
            dict(image_id=number, category_id=category) for number, several in enumerate(shown) for category in several
        ],
        categories=[dict(id=number, name=name) for number, name in enumerate(categories)],
    )
    (root / part / 'instances.json').write_text(json.dumps(content))


@pytest.mark.parametrize('times', [1, 2])
def test_the_classes_of_a_coco_file_are_those_of_every_part_and_of_the_model(tmp_path, times):
    write_coco(tmp_path, 'train', [[1], [2], [1, 2], [2]], ['things', 'Jet Ski', 'boat'])
    write_coco(tmp_path, 'valid', [[0], [0]], ['boat'])
    overrides = {f'{TRAIN}.split': None}
    for part, folder in (('train', 'train'), ('val', 'valid'), ('test', 'valid')):
        overrides |= {
            f'{part}_dataloader.dataset.ann_file': f'{folder}/instances.json',
            f'{part}_dataloader.dataset.img_dir': folder,
        }
    config = load_config('cssa_coco_p05', data_root=str(tmp_path), overrides=overrides)
    if times == 2:
        config = load_config(config)
    found = parts(config)
    assert {name: dataset.class_names for name, dataset in found.items()} == dict.fromkeys(found, ['Jet Ski', 'boat'])
    assert resolve_class_names(config.model.class_names) == ['Jet Ski', 'boat']
    assert found['val'].labels.tolist() == [[0, 1], [0, 1]]


def test_the_classes_of_voc_files_are_those_of_every_part_and_of_the_model(tmp_path):
    lists = tmp_path / 'ImageSets' / 'Main'
    for folder in (lists, tmp_path / 'Annotations'):
        folder.mkdir(parents=True)
    for number, (part, name) in enumerate((('train', 'Rikscha'), ('train', 'dog'), ('val', 'dog'))):
        save(tmp_path / 'JPEGImages' / f'{number}.jpg', number)
        (tmp_path / 'Annotations' / f'{number}.xml').write_text(
            f'<annotation><object><name>{name}</name></object></annotation>'
        )
        with (lists / f'{part}.txt').open('a') as file:
            file.write(f'{number}\n')
    config = load_config('cssa_voc_p05', data_root=str(tmp_path), overrides={f'{TRAIN}.split': None})
    found = parts(config)
    assert {name: dataset.class_names for name, dataset in found.items()} == dict.fromkeys(found, ['Rikscha', 'dog'])
    assert resolve_class_names(config.model.class_names) == ['Rikscha', 'dog']


@pytest.mark.parametrize('name', ['cssa_coco_p05', 'cssa_voc_p05', 'cssa_demo'])
def test_where_the_files_are_missing_the_classes_are_those_of_the_type(tmp_path, name):
    config = load_config(name, data_root=str(tmp_path))
    assert config.model.class_names == config[TRAIN.split('.')[0]].dataset.type


@pytest.mark.parametrize(('key', 'value'), [('none_word', 'nix'), ('unknown_word', ['?'])])
def test_words_of_a_part_alone_are_refused_although_they_have_a_default(photos, key, value):
    with pytest.raises(ConfigError, match=rf'val_dataloader.dataset.{key}: found .* in this part alone'):
        load_config(photos, overrides={f'val_dataloader.dataset.{key}': value})
    both = {f'{part}_dataloader.dataset.{key}': value for part in ('train', 'val')}
    assert load_config(photos, overrides=both).val_dataloader.dataset[key] == value
    assert load_config(photos, overrides={f'{TRAIN}.{key}': value}).test_dataloader.dataset[key] == value


def test_columns_of_the_test_file_alone_can_be_left_out(photos):
    (photos / 'test.csv').write_text('file,tags,fold\n4.png,cat,1\n5.png,none,2\n')
    config = load_config(photos, overrides=FILE | {'val_dataloader.dataset.ignore_columns': ['fold']})
    assert len(parts(config)['val']) == 2


def test_the_parts_of_one_file_have_the_classes_of_the_training_part(tmp_path):
    for part, name, text in (('train', 'a', '0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n'), ('valid', 'b', '1 .5 .5 .1 .1\n')):
        save(tmp_path / part / 'images' / f'{name}.png', ord(name))
        save(tmp_path / part / 'images' / f'{name}2.png', ord(name) + 9)
        (tmp_path / part / 'labels').mkdir()
        (tmp_path / part / 'labels' / f'{name}.txt').write_text(text)
    (tmp_path / 'data.yaml').write_text('train: train/images\nval: valid/images\nnames: [cat, dog, cow]\n')
    config = load_config(tmp_path)
    assert {name: dataset.class_names for name, dataset in parts(config).items()} == dict.fromkeys(
        ('train', 'val', 'test'), ['cat', 'dog']
    )
    assert resolve_class_names(config.model.class_names) == ['cat', 'dog']
    assert load_config(config).to_dict() == config.to_dict()


def test_a_table_of_the_user_s_own_class_is_found_and_completed_like_ours(photos, monkeypatch):
    monkeypatch.setattr(DATASETS, '_module_dict', dict(DATASETS.module_dict))

    @DATASETS.register_module()
    class OwnTable(TableDataset):
        def __init__(self, flavour='plain', **options):
            self.flavour = flavour
            super().__init__(**options)

    kind = {f'{name}_dataloader.dataset.type': 'OwnTable' for name in ('train', 'val', 'test')}
    found = parts(load_config(photos, overrides=FILE | kind | {f'{TRAIN}.flavour': 'sweet'}))
    assert {name: len(dataset) for name, dataset in found.items()} == dict(train=4, val=2, test=2)
    assert (type(found['train']), found['train'].flavour) == (OwnTable, 'sweet')
