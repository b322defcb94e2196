"""Configs that load and normalise images the toolbox's way."""

import pytest
import torch
from PIL import Image

from cssa_mm.engine.config.pixels import apply_pixels, check_statistics
from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

META = ('image_id', 'is_labelled', 'flip')
# As mmpretrain's files for multi-label data have them.
STATISTICS = dict(
    num_classes=20, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True, to_onehot=True
)
THEIRS = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=72, edge='short'),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackInputs'),
]


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr('cssa_mm.engine.config.pixels.print_log', lambda text, *details: lines.append(text))
    return lines


@pytest.mark.smoke
def test_mmpretrain_s_own_pipelines_give_red_as_red(tiny_config, tmp_path, said):
    """The oracle is a picture of one colour."""
    loaders = ('train', 'val', 'test')
    config = tiny_config(**{f'{name}_dataloader.dataset.pipeline': THEIRS for name in loaders})
    config = prepare_config(config)
    runner = CSSARunner.from_cfg(config)
    Image.new('RGB', (90, 80), (250, 100, 20)).save(tmp_path / 'red.png')
    for dataset in (runner.train_loop.dataloader.dataset, runner.test_loop.dataloader.dataset):
        dataset.img_paths = [str(tmp_path / 'red.png')] * len(dataset)
        item = dataset[0]
        assert item['inputs'].shape == (3, 64, 64)
        assert item['inputs'][:, 32, 32].tolist() == [250, 100, 20]
        assert item['data_samples'].image_id == dataset.image_ids[0]
        assert 'is_labelled' in item['data_samples']
    assert said[0] == 'train_dataloader.dataset.pipeline: LoadRGBImage in place of LoadImageFromFile, which gives BGR'


def test_the_storage_of_the_loader_stays(tiny_config):
    backend = dict(backend='local')
    config = tiny_config(**{'test_dataloader.dataset.pipeline': [dict(THEIRS[0], backend_args=backend), THEIRS[3]]})
    apply_pixels(config)
    step, pack = config.test_dataloader.dataset.pipeline
    assert step == dict(type='LoadRGBImage', backend_args=backend)
    assert 'image_id' in pack['meta_keys']


def test_pipelines_inside_wrappers_are_read_alike():
    inner = dict(type='X', pipeline=[dict(type='LoadImageFromFile')])
    other = dict(type='X', pipeline=[dict(type='View')])
    wrapped = dict(type='Repeat', dataset=dict(type='Concat', datasets=[other, inner]))
    apply_pixels(dict(train_dataloader=dict(dataset=wrapped)))
    assert inner['pipeline'] == [dict(type='LoadRGBImage')]


@pytest.mark.parametrize(
    ('option', 'found'),
    [(dict(to_float32=True), 'to_float32=True'), (dict(color_type='grayscale'), "color_type='grayscale'")],
)
def test_a_loader_of_other_pixels_is_refused(tiny_config, option, found):
    config = tiny_config(**{'train_dataloader.dataset.pipeline': [THEIRS[0] | option, THEIRS[3]]})
    with pytest.raises(ConfigError, match=f'^train_dataloader.dataset.pipeline: found LoadImageFromFile with {found}'):
        prepare_config(config)


def test_a_preprocessor_beside_the_model_is_left_out_with_a_word(tiny_config, said):
    config = prepare_config(tiny_config(data_preprocessor=STATISTICS))
    assert said == [
        'data_preprocessor: left out (num_classes, mean, std, to_rgb, to_onehot), as images are RGB here and the '
        'frozen tower normalises them by its own statistics'
    ]
    model = CSSARunner.from_cfg(config).model
    expected = 255 * torch.tensor(model.backbone.clip.mean)
    torch.testing.assert_close(model.data_preprocessor.mean.flatten(), expected)
    assert not model.data_preprocessor.to_rgb


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(to_rgb=True), 'to_rgb: found True, expected False, as images are RGB from their loader on; leave it out'),
        (dict(batch_augments=dict(augments=[dict(type='Mixup', alpha=0.2)])), 'batch_augments: found'),
        (dict(pad_size_divisor=32), 'pad_size_divisor: found 32, expected 1'),
    ],
)
def test_what_would_change_pixels_in_training_alone_is_refused(tiny_config, options, message):
    with pytest.raises(ConfigError) as error:
        prepare_config(tiny_config(**{'model.data_preprocessor': options}))
    assert str(error.value).startswith(f'model.data_preprocessor.{message}')


def test_statistics_are_those_of_the_tower(make_model):
    check_statistics(make_model())
    own = make_model().backbone.clip
    same = dict(mean=[255 * value for value in own.mean], std=[round(255 * value, 3) for value in own.std])
    check_statistics(make_model(data_preprocessor=same | dict(num_classes=3)))
    for other in (dict(mean=STATISTICS['mean'], std=STATISTICS['std']), dict(mean=None, std=None)):
        with pytest.raises(ConfigError, match=r'^model.data_preprocessor.mean: found .*, expected \[122.771, 116.746'):
            check_statistics(make_model(data_preprocessor=other))


def test_a_training_refuses_other_statistics(tiny_config):
    other = dict(mean=[1.0, 2.0, 3.0], std=[1.0, 1.0, 1.0])
    runner = CSSARunner.from_cfg(tiny_config(**{'model.data_preprocessor': other}))
    with pytest.raises(ConfigError, match='model.data_preprocessor.mean: found'):
        runner.train()
