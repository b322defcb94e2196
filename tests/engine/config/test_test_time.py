"""Test-time augmentation as a config has it."""

import pytest
from mmengine.config import ConfigDict

from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.config.test_time import augment_tests
from cssa_mm.errors import ConfigError

SCALES = [dict(type='ScaledView', factor=1.0), dict(type='ScaledView', factor=1.5, stride=16)]
FLIPS = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
PACK = [dict(type='PackInputs', meta_keys=('image_id',))]


@pytest.fixture
def augmented(tiny_config):
    """augmented(**overrides) -> the config of a test with two scales and flips, prepared as the runner does."""

    def make(**overrides):
        pipeline = [dict(type='LoadRGBImage'), dict(type='TestTimeAug', transforms=[SCALES, FLIPS, PACK])]
        config = tiny_config(**{'tta_pipeline': pipeline} | overrides)
        augment_tests(config)
        return prepare_config(config)

    return make


def test_scaled_views_follow_the_view(augmented):
    config = augmented(**{'view.size': 96, 'view.interpolation': 'bilinear', 'view.bits': 12})
    loader, views = config.test_dataloader.dataset.pipeline
    assert dict(loader) == dict(type='LoadRGBImage', bits=12)
    plain = dict(type='ScaledView', size=96, interpolation='bilinear', backend='pillow', bits=12)
    assert [dict(step) for step in views.transforms[0]] == [
        plain | dict(factor=1.0),
        plain | dict(factor=1.5, stride=16),
    ]
    # The loaders of training and validation have the view itself.
    assert config.val_dataloader.dataset.pipeline[0].size == 96
    assert config.model.module.view.size == 96


def test_the_classifier_in_the_wrapper_is_checked_and_completed(augmented):
    config = augmented()
    assert config.model.type == 'AverageViewsTTA'
    assert config.model.module.type == 'CSSAClassifier'
    with pytest.raises(ConfigError, match="found the unknown key 'model.headd'"):
        augmented(**{'model.headd': 1})
    with pytest.raises(ConfigError, match="found the unknown key 'tta_model.averag'"):
        augmented(**{'tta_model.averag': 'logits'})


@pytest.mark.parametrize('name', ['AverageClsScoreTTA', 'mmpretrain.AverageClsScoreTTA'])
def test_the_toolbox_s_own_wrapper_is_refused(augmented, tiny_config, name):
    message = "tta_model: found 'AverageClsScoreTTA', which gives no labels, expected"
    with pytest.raises(ConfigError, match=message):
        augmented(tta_model=dict(type=name, _delete_=True))
    # As mmpretrain's test.py builds it for a config without tta_model.
    config = tiny_config()
    config.model = ConfigDict(type=name, module=config.model)
    with pytest.raises(ConfigError, match=message):
        prepare_config(config)


def test_a_config_without_test_views_is_told_so(augmented):
    with pytest.raises(ConfigError, match='--tta: found no tta_pipeline in the config'):
        augmented(tta_pipeline=None)


def test_the_toolbox_s_own_wrapper_beside_an_inherited_option_is_refused_by_name(tiny_config):
    with pytest.raises(ConfigError, match="tta_model: found 'AverageClsScoreTTA'.* or leave tta_model out"):
        prepare_config(tiny_config(tta_model=dict(type='AverageClsScoreTTA', average='logits')))


def test_views_of_the_toolbox_s_transforms_are_loaded_and_packed_like_ours(tiny_config):
    views = [[dict(type='ResizeEdge', scale=64)], [dict(type='CenterCrop', crop_size=64)], [dict(type='PackInputs')]]
    pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=views)]
    config = tiny_config(tta_pipeline=pipeline)
    augment_tests(prepare_config(config))
    loader, augment = prepare_config(config).test_dataloader.dataset.pipeline
    assert loader.type == 'LoadRGBImage'
    assert 'image_id' in augment.transforms[2][0].meta_keys
