"""Wrappers and data sets of the toolbox in a config."""

import json

import pytest
from mmengine.config import Config
from PIL import Image

import cssa_mm
from cssa_mm.datasets.building import build_dataset
from cssa_mm.errors import ConfigError
from cssa_mm.files import shipped_config

AREA = 'Data sets and loaders'
TABLE = dict(type='TableDataset', ann_file='labels.csv')
PIPELINE = [dict(type='View', size=8), dict(type='PackInputs', meta_keys=('image_id', 'is_labelled'))]


def row(feature, verdict, note, *values):
    return pytest.param(*values, marks=pytest.mark.toolbox(AREA, feature, verdict, note))


@pytest.fixture
def photos(tmp_path):
    """Eight photos, six labelled: one cat, two dogs, three of neither; the same labels in mmpretrain's form."""
    (tmp_path / 'images').mkdir()
    for number in range(8):
        Image.new('RGB', (8, 8), (number, 0, 0)).save(tmp_path / 'images' / f'{number}.png')
    names = ['cat', 'dog', 'dog', 'none', 'none', 'none']
    rows = ''.join(f'{number}.png,{name}\n' for number, name in enumerate(names))
    (tmp_path / 'labels.csv').write_text(f'image,labels\n{rows}')
    found = [dict(cat=[0], dog=[1], none=[])[name] for name in names]
    entries = [dict(img_path=f'{number}.png', gt_label=labels) for number, labels in enumerate(found)]
    content = dict(metainfo=dict(classes=['cat', 'dog']), data_list=entries)
    (tmp_path / 'labels.json').write_text(json.dumps(content))
    (tmp_path / 'labels.txt').write_text('0.png 0\n1.png 1\n2.png 1\n')
    return tmp_path


def load(photos, dataset, **parts):
    config = Config.fromfile(shipped_config('cssa_table'))
    for name in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            config[f'{name}_{part}'] = None
    config.train_dataloader.dataset = dataset
    for name, options in parts.items():
        sampler = dict(type='DefaultSampler', shuffle=False)
        config[f'{name}_dataloader'] = dict(batch_size=2, num_workers=0, sampler=sampler, dataset=options)
    return cssa_mm.load_config(config)


def of(photos, **options):
    return dict(TABLE, data_root=str(photos), pipeline=PIPELINE, **options)


def folds(photos):
    return dict(type='KFoldDataset', fold=1, num_splits=3, dataset=of(photos))


@pytest.mark.parametrize(
    ('wrap', 'images', 'draws'),
    [
        row(
            '`ConcatDataset(datasets=[A, B])`',
            'works',
            'one data set over the classes of all parts; a photo that several list counts once; test sets are found '
            'beside each part',
            lambda photos: dict(type='ConcatDataset', datasets=[of(photos), of(photos)]),
            8,
            [0, 1, 2, 3, 4, 5],
        ),
        row(
            '`RepeatDataset(dataset=A, times=2)`',
            'works',
            'a labelled image is drawn twice as often; unlabelled images and all statistics stay as they are',
            lambda photos: dict(type='RepeatDataset', times=2, dataset=of(photos)),
            8,
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
        ),
        row(
            '`ClassBalancedDataset(dataset=A, oversample_thr=0.3)`',
            'works',
            "MMEngine's rule on the known positives of the labelled images; statistics stay as they are",
            lambda photos: dict(type='ClassBalancedDataset', oversample_thr=0.3, dataset=of(photos)),
            8,
            [0, 0, 1, 2, 3, 4, 5],
        ),
        row(
            '`KFoldDataset(dataset=A, fold=1, num_splits=3)`',
            'works',
            'folds of the labelled images, which cut no group; unlabelled ones serve every fold; `test_mode=True` is '
            'the fold',
            folds,
            6,
            [0, 1, 2, 3],
        ),
        row(
            "`MultiLabelDataset(ann_file='labels.json')`",
            'works',
            'read as a `TableDataset` of the images that it lists',
            lambda photos: dict(
                type='MultiLabelDataset',
                data_root=str(photos),
                ann_file='labels.json',
                data_prefix='images',
                pipeline=PIPELINE,
            ),
            6,
            [0, 1, 2, 3, 4, 5],
        ),
        row(
            "`CustomDataset(ann_file='labels.txt')`, or class folders",
            'works',
            'read as a `TableDataset`: each image shows its class and no other',
            lambda photos: dict(
                type='CustomDataset',
                data_root=str(photos),
                ann_file='labels.txt',
                data_prefix='images',
                classes=['cat', 'dog'],
                pipeline=PIPELINE,
            ),
            3,
            [0, 1, 2],
        ),
        row(
            '`CustomDataset(with_label=False)`',
            'works',
            'unlabelled photos, which a `ConcatDataset` joins to labelled ones',
            lambda photos: dict(
                type='ConcatDataset',
                datasets=[
                    of(photos, include_unlisted=False),
                    dict(type='CustomDataset', data_root=str(photos), data_prefix='images', with_label=False),
                ],
            ),
            8,
            [0, 1, 2, 3, 4, 5],
        ),
    ],
)
def test_what_a_wrapper_trains_on(photos, wrap, images, draws):
    train = build_dataset(load(photos, wrap(photos)).train_dataloader.dataset, 'train')
    assert len(train) == images
    assert train.labelled_draws.tolist() == draws


def test_a_fold_serves_validation(photos):
    config = load(photos, folds(photos), val=folds(photos) | dict(test_mode=True))
    val, train = (build_dataset(config[f'{name}_dataloader'].dataset, name) for name in ('val', 'train'))
    val.full_init()
    train.full_init()
    assert val.image_ids == ['2.png', '3.png']
    assert train.image_ids == [f'{number}.png' for number in (0, 1, 4, 5, 6, 7)]


@pytest.mark.parametrize(
    ('part', 'wrap', 'words'),
    [
        row(
            '`RepeatDataset` or `ClassBalancedDataset` in a validation or test loader',
            'refused',
            'each test image counts once',
            'val',
            lambda photos: dict(type='RepeatDataset', times=2, dataset=of(photos)),
            'val_dataloader.dataset: found a RepeatDataset, .* leave the wrapper out',
        ),
        row(
            '`ConcatDataset` of parts with other pipelines',
            'refused',
            'the images of all parts share a batch',
            'train',
            lambda photos: dict(type='ConcatDataset', datasets=[of(photos), of(photos) | dict(pipeline=PIPELINE[:1])]),
            'datasets.1.pipeline: found another than in datasets.0',
        ),
        row(
            'options beside the parts of a `ConcatDataset`',
            'refused',
            'the line names the key of each part, and `_delete_=True` for what was inherited',
            'train',
            lambda photos: dict(type='ConcatDataset', data_root='x', datasets=[of(photos), of(photos)]),
            'found data_root beside the 2 datasets .*datasets.0.data_root.*_delete_=True',
        ),
        row(
            '`ImageNet`, `CIFAR10`, `VOC` and the other data sets of mmpretrain',
            'not meant',
            'they hide no labels; `TableDataset` reads the files of most',
            'train',
            lambda photos: dict(type='ImageNet', data_root=str(photos)),
            'found ImageNet of mmpretrain, which is not meant .*TableDataset',
        ),
    ],
)
def test_what_is_refused_in_one_line(photos, part, wrap, words):
    parts = dict(train=of(photos)) | {part: wrap(photos)}
    train = parts.pop('train')
    with pytest.raises(ConfigError, match=words) as caught:
        load(photos, train, **parts)
    assert '\n' not in str(caught.value)


@pytest.mark.toolbox(
    AREA,
    '`--data-root X` with a `ConcatDataset` of several folders',
    'refused',
    'each part has its own; X is set where all parts have one root',
)
def test_a_data_root_for_several_folders_is_refused(photos):
    config = Config.fromfile(shipped_config('cssa_table'))
    config.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[of(photos), of('other')])
    config.val_dataloader = config.test_dataloader = None
    with pytest.raises(ConfigError, match='expected the data_root of each in the config'):
        cssa_mm.load_config(config, data_root=photos)
    one = cssa_mm.load_config(config, overrides={'train_dataloader.dataset.datasets.1.data_root': str(photos)})
    assert len(build_dataset(one.train_dataloader.dataset, 'train')) == 8


def test_wrapped_data_train_and_are_tested(tiny_config, toy_data):
    config = tiny_config(train_cfg=dict(warmup_epochs=1, semi_epochs=1, val_begin=2))
    own = config.train_dataloader.dataset.to_dict()
    pipeline = own.pop('pipeline')
    photos = dict(type='CustomDataset', data_root=str(toy_data), data_prefix='test', with_label=False)
    parts = [dict(type='RepeatDataset', times=2, dataset=own), photos]
    fold = dict(type='KFoldDataset', num_splits=4, seed=5, dataset=dict(type='ConcatDataset', datasets=parts))
    config.train_dataloader.dataset = fold | dict(pipeline=pipeline)
    plain = config.val_dataloader.dataset.pipeline
    config.val_dataloader.dataset = fold | dict(test_mode=True, pipeline=plain)
    result = cssa_mm.train(config=config, work_dir=config.work_dir, device='cpu')
    runner = result.runner
    dataset = runner.train_dataloader.dataset
    # 40 photos of which 16 are labelled, 4 of them in the fold, and 12 more of the other folder.
    assert len(dataset) == 48
    assert len(dataset.labelled_indices) == 12
    # 24 draws of labelled images in batches of 8; then 36 unlabelled ones, 6 in a batch.
    assert runner.iter == 3 + 6
    assert {image_id.split('/')[0] for image_id in dataset.image_ids} == {'1', '2'}
    held_out = runner.val_dataloader.dataset
    assert len(held_out) == 4
    assert not set(held_out.image_ids) & set(dataset.image_ids)
    assert 0 <= result.metrics['ema/mAP'] <= 100
