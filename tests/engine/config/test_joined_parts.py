"""Wrappers in a config: what is completed, what is tested, which classes the model gets."""

import json

import pytest
from mmengine.config import Config
from PIL import Image

from cssa_mm import load_config
from cssa_mm.datasets.building import build_dataset
from cssa_mm.errors import ConfigError, DataError
from cssa_mm.models.class_names import resolve_class_names
from cssa_mm.semi.sampler import SemiSupervisedSampler

TRAIN = 'train_dataloader.dataset'
TABLE = dict(type='TableDataset')


def folder(root, labels, test='', count=6, shade=0):
    (root / 'images').mkdir(parents=True)
    for number in range(count):
        Image.new('RGB', (8, 8), (shade, number, 0)).save(root / 'images' / f'{number}.png')
    for name, text in (('labels', labels), ('test', test)):
        if text:
            (root / f'{name}.csv').write_text(f'image,labels\n{text}')
    return dict(TABLE, data_root=str(root))


@pytest.fixture
def first(tmp_path):
    return folder(tmp_path / 'first', '0.png,cat;dog\n1.png,dog\n2.png,none\n3.png,cat\n', '5.png,cat\n4.png,none\n')


@pytest.fixture
def second(tmp_path):
    return folder(tmp_path / 'second', '0.png,sun\n1.png,none\n', '5.png,sun;dog\n', shade=90)


def config_with(dataset, part='train', **others):
    """The table config with another data set, as a file with _delete_=True leaves it."""
    config = load_raw()
    pipeline = config[f'{part}_dataloader'].dataset.pipeline
    for leaf in [dataset, *dataset.get('datasets', ())]:
        if 'dataset' not in leaf and 'datasets' not in leaf:
            leaf.setdefault('pipeline', pipeline)
    config[f'{part}_dataloader'].dataset = dataset
    config.merge_from_dict(others)
    return config


def load_raw():
    from cssa_mm.files import shipped_config

    return Config.fromfile(shipped_config('cssa_table'))


def concat(*parts, **options):
    return dict(type='ConcatDataset', datasets=[dict(part) for part in parts], **options)


def parts(config):
    found = {
        name: build_dataset(config[f'{name}_dataloader'].dataset, name)
        for name in ('train', 'val', 'test')
        if config[f'{name}_dataloader'] is not None
    }
    for dataset in found.values():
        dataset.full_init()
    return found


@pytest.mark.parametrize('scope', ['', 'mmengine.', 'mmpretrain.'])
def test_everything_is_found_below_each_root(first, second, scope):
    joined = concat(first, second) | dict(type=f'{scope}ConcatDataset')
    config = load_config(config_with(joined))
    found = parts(config)
    # The photos of the test tables are in the folders of the training photos, and not trained on.
    assert found['train'].image_ids == [*(f'1/{n}.png' for n in range(4)), *(f'2/{n}.png' for n in range(5))]
    assert found['val'].image_ids == ['1/4.png', '1/5.png', '2/5.png'] == found['test'].image_ids
    assert {name: each.class_names for name, each in found.items()} == dict.fromkeys(found, ['cat', 'dog', 'sun'])
    # The test table of a part was labelled for the classes of its own labels, as if it stood alone.
    # That of the second shows a dog, too, so it knows dogs.
    assert found['val'].labels.tolist() == [[0, 0, -1], [1, 0, -1], [-1, 1, 1]]
    assert resolve_class_names(config.model.class_names) == ['cat', 'dog', 'sun']


def test_preparing_a_joined_config_twice_changes_nothing(first, second):
    once = load_config(config_with(concat(first, second)))
    assert load_config(once).to_dict() == once.to_dict()


def test_a_test_set_knows_the_classes_that_its_own_training_part_knows(first, second, tmp_path):
    (tmp_path / 'second' / 'test.csv').write_text('image,labels\n5.png,sun\n')
    (tmp_path / 'second' / 'labels.csv').write_text('image,labels\n0.png,sun;sea\n1.png,none\n')
    found = parts(load_config(config_with(concat(first, second))))
    cat, sea, sun = (found['val'].class_names.index(name) for name in ('cat', 'sea', 'sun'))
    assert found['val'].labels[2, [cat, sea, sun]].tolist() == [-1, 0, 1]


def test_two_tables_of_one_folder_share_its_test_set(tmp_path):
    first = folder(tmp_path / 'p', '0.png,cat\n1.png,none\n', '5.png,cat\n')
    (tmp_path / 'p' / 'more.csv').write_text('image,labels\n2.png,sun\n1.png,none\n')
    joined = concat(first | dict(ann_file='labels.csv'), first | dict(ann_file='more.csv'))
    config = load_config(config_with(joined))
    found = parts(config)
    assert found['train'].image_ids == ['1/0.png', '1/1.png', '1/3.png', '1/4.png', '2/2.png']
    assert found['train'].is_labelled.tolist() == [True, True, False, False, True]
    assert found['val'].image_ids == ['1/5.png']
    assert found['val'].labels.tolist() == [[1, 0]]  # of all classes, as each table knows one
    assert load_config(config).to_dict() == config.to_dict()


def test_without_test_labels_nothing_is_validated(first, second, tmp_path):
    for name in ('first', 'second'):
        (tmp_path / name / 'test.csv').unlink()
    config = load_config(config_with(concat(first, second)))
    assert config.val_dataloader is None
    assert config.test_cfg is None


def test_a_validation_set_of_another_folder_takes_the_classes_of_all(first, second, tmp_path):
    third = folder(tmp_path / 'third', '0.png,sun\n1.png,none\n', shade=150)
    config = config_with(concat(first, second))
    config.val_dataloader.dataset.data_root = third['data_root']
    config.test_dataloader.dataset.data_root = third['data_root']
    found = parts(load_config(config))
    assert found['val'].labels.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert len(found['train']) == 9


def test_a_joined_validation_set_beside_a_single_training_set(first, second, tmp_path):
    third = folder(tmp_path / 'third', '0.png,cat\n', shade=150) | dict(ann_file='labels.csv')
    fourth = folder(tmp_path / 'fourth', '0.png,dog\n', shade=220)
    config = config_with(concat(third, fourth), 'val')
    config.train_dataloader.dataset.data_root = first['data_root']
    found = parts(load_config(config))
    assert found['val'].labels.tolist() == [[1, 0], [0, 1]]
    assert found['val'].test_mode
    assert found['val'].image_ids == found['test'].image_ids  # the test set follows


def test_the_model_s_classes_by_an_override_of_their_root(first):
    joined = concat(first, first)
    config = load_config(config_with(joined), overrides={'model.class_names.data_root': first['data_root']})
    assert config.model.class_names.type == 'TableDataset'
    assert resolve_class_names(config.model.class_names) == ['cat', 'dog']


def test_a_data_root_for_several_folders_is_refused_and_for_one_it_is_set(first, second):
    with pytest.raises(ConfigError, match=r"--data-root: found 'x' for train_dataloader.dataset, a ConcatDataset of 2"):
        load_config(config_with(concat(first, second)), data_root='x')
    for wrapped in (concat(TABLE, TABLE), concat(TABLE), dict(type='RepeatDataset', times=2, dataset=dict(TABLE))):
        config = load_config(config_with(wrapped), data_root=first['data_root'])
        assert len(parts(config)['train']) == 4


def test_a_key_beside_the_parts_is_named_as_what_it_is(first, second):
    with pytest.raises(
        ConfigError, match=r'train_dataloader.dataset: found ann_file \(--labels\) beside the 2 datasets .*_delete_'
    ):
        load_config(config_with(concat(first, second)), overrides={f'{TRAIN}.ann_file': 'labels.csv'})
    single = load_config(config_with(concat(first)), overrides={f'{TRAIN}.ann_file': 'labels.csv'})
    assert single.train_dataloader.dataset.type == 'TableDataset'
    config = config_with(concat(first, second))
    config.train_dataloader.dataset.datasets[1].pipeline = []
    with pytest.raises(ConfigError, match=r'train_dataloader.dataset.datasets.1.pipeline: found another than in'):
        load_config(config)


def test_repeats_change_the_draws_and_nothing_else(first):
    inner = dict(type='RepeatDataset', times=2, dataset=first)
    wrapped = dict(type='ClassBalancedDataset', oversample_thr=0.6, dataset=inner)
    plain, config = load_config(config_with(dict(first))), load_config(config_with(wrapped))
    before, found = (parts(each)['train'] for each in (plain, config))
    assert found.image_ids == before.image_ids
    assert (found.labels == before.labels).all()
    assert (found.positive_rates() == before.positive_rates()).all()
    # cat and dog are in half of four photos each: sqrt(.6 / .5) is rounded up to 2; the photo of neither has 1.
    assert found.labelled_draws.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3]
    sampler = SemiSupervisedSampler(found, labelled_per_batch=2, seed=0, rank=0, world_size=1)
    sampler.set_batch_size(7)
    sampler.warmup_epochs = 1
    drawn = [key.index for batch in sampler.global_batches() for key in batch]
    assert sorted(drawn) == found.labelled_draws.tolist()
    sampler.set_epoch(1)
    assert sampler.num_batches(1) == 0 or found.unlabelled_indices.tolist() == []
    with pytest.raises(ConfigError, match=r'val_dataloader.dataset: found a RepeatDataset'):
        load_config(config_with(dict(inner), 'val'))


@pytest.fixture
def kfold(first, tmp_path):
    """A config as mmpretrain's tool for cross-validation writes it, for one fold of five."""
    labels = ''.join(f'{n}.png,{"cat" if n % 2 else "dog;cat"}\n' for n in range(10))
    data = folder(tmp_path / 'k', labels, '14.png,cat\n', count=15)

    def make(fold, wrapper=lambda dataset: dataset):
        config = config_with(wrapper(data))
        dataset = config.train_dataloader.dataset
        options = dict(type='KFoldDataset', fold=fold, num_splits=5, seed=3)
        for name in ('val', 'test'):
            held = dataset.to_dict() | dict(pipeline=config[f'{name}_dataloader'].dataset.pipeline)
            config[f'{name}_dataloader'].dataset = options | dict(dataset=held, test_mode=True)
        config.train_dataloader.dataset = options | dict(dataset=dataset, test_mode=False)
        return config

    return make


@pytest.mark.parametrize(
    'wrapper',
    [
        lambda dataset: dataset,
        lambda dataset: dict(type='RepeatDataset', times=2, dataset=dataset),
        lambda dataset: concat(dataset, dataset),
    ],
    ids=['single', 'repeated', 'joined'],
)
def test_each_fold_is_tested_once_by_a_training_on_the_others(kfold, wrapper):
    tested = []
    for fold in range(5):
        config = load_config(kfold(fold, wrapper))
        assert load_config(config).to_dict() == config.to_dict()
        found = parts(config)
        train, val = ([name.split('/')[-1] for name in found[part].image_ids] for part in ('train', 'val'))
        assert len(val) == 2
        assert found['val'].is_labelled.all()
        assert (found['val'].labels >= 0).all()
        assert not set(train) & set(val)
        assert {'10.png', '11.png', '12.png', '13.png'} < set(train)  # unlabelled; 14 is in the table of test photos
        assert len(train) == 12
        assert found['train'].is_labelled.sum() == 8
        assert found['test'].image_ids == found['val'].image_ids
        tested += val
    assert sorted(tested) == sorted(f'{n}.png' for n in range(10))


def test_folds_of_other_data_or_the_wrong_way_round_are_refused(kfold, first):
    config = kfold(0)
    config.val_dataloader.dataset.dataset.data_root = first['data_root']
    with pytest.raises(ConfigError, match=r'val_dataloader.dataset.data_root: found .*first.* in a KFoldDataset'):
        load_config(config)
    config = kfold(0)
    config.val_dataloader.dataset.fold = 1
    with pytest.raises(ConfigError, match=r'val_dataloader.dataset: found the fold fold=1, num_splits=5, seed=3'):
        load_config(config)
    for part, mode in (('train', True), ('val', False)):
        config = kfold(0)
        config[f'{part}_dataloader'].dataset.test_mode = mode
        with pytest.raises(ConfigError, match=rf'{part}_dataloader.dataset.test_mode: found {mode} in a KFoldDataset'):
            load_config(config)
    config = kfold(7)
    with pytest.raises(ConfigError, match=r'train_dataloader.dataset.fold: found fold=7'):
        load_config(config)


def test_mmpretrain_s_multi_label_data_join_photos_without_labels(first, tmp_path):
    content = dict(
        metainfo=dict(classes=['cat', 'dog']),
        data_list=[dict(img_path=f'{n}.png', gt_label=[n]) for n in range(2)],
    )
    (tmp_path / 'first' / 'labels.json').write_text(json.dumps(content))
    root = first['data_root']
    labelled = dict(type='MultiLabelDataset', data_root=root, ann_file='labels.json', data_prefix='images')
    others = dict(type='CustomDataset', data_root=root, data_prefix=dict(img_path='images'), with_label=False)
    config = load_config(config_with(concat(labelled, others)))
    train = parts(config)['train']
    assert train.is_labelled.tolist() == [True, True, False, False, False, False]
    assert train.labels[:2].tolist() == [[1, 0], [0, 1]]
    alone = config_with(others)
    with pytest.raises(ConfigError, match='found photos without labels alone'):
        load_config(alone)


def test_a_data_set_that_knows_no_labelled_images_is_refused_by_name(first):
    from cssa_mm.datasets.labelled_images import drawn_images

    with pytest.raises(ConfigError, match='found a list, which does not know which of its images are labelled'):
        drawn_images([])
    with pytest.raises(
        ConfigError, match=r'train_dataloader.dataset.type: found ImageNet of mmpretrain, .*TableDataset'
    ):
        load_config(config_with(dict(type='ImageNet', data_root='x', split='train')))


def test_a_folder_with_several_label_files_is_told_where(first, second, tmp_path):
    (tmp_path / 'second' / 'labels.csv').rename(tmp_path / 'second' / 'one.csv')
    (tmp_path / 'second' / 'two.csv').write_text('image,labels\n1.png,cat\n')
    with pytest.raises(
        DataError, match=r'found 2 label files for train .*name it: train_dataloader.dataset.datasets.1.ann_file=FILE'
    ):
        load_config(config_with(concat(first, second)))
    with pytest.raises(ConfigError, match=r'^train_dataloader.dataset.datasets.1.image_column: found True'):
        load_config(config_with(concat(first, second | dict(image_column=True))))


def test_a_fold_follows_the_training_set_in_what_it_does_not_say(first):
    full = load_raw().train_dataloader.dataset | first  # every option with its default
    fold = dict(type='KFoldDataset', fold=1, num_splits=2)
    for long, short in ((full, first), (first, full)):
        config = config_with(dict(fold, dataset=long))
        config.val_dataloader.dataset = dict(fold, test_mode=True, dataset=dict(short, none_word='none'))
        found = parts(load_config(config))
        assert (len(found['val']), int(found['train'].is_labelled.sum())) == (2, 2)
        config.val_dataloader.dataset.dataset.none_word = 'nothing'
        with pytest.raises(ConfigError, match=r"none_word: found 'nothing' in a KFoldDataset, expected .*leave it out"):
            load_config(config)


def test_classes_that_the_parts_list_are_those_of_the_model(first, second):
    dataset = concat(first | dict(class_names=['cat', 'dog', 'owl']), second)
    assert resolve_class_names(load_config(config_with(dataset)).model.class_names) == ['cat', 'dog', 'owl', 'sun']
