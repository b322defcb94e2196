"""The view of a config: named once, it reaches every pipeline and the model."""

import copy

import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.view import View
from cssa_mm.errors import ConfigError
from cssa_mm.features.view import (
    LOADERS,
    apply_view,
    draws_view_or_mirror,
    scoring_pipeline,
    view_of,
)

PACK = dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip'))
FLIP = dict(type='RandomFlip', prob=0.5)


def steps_of(config: Config, name: str) -> list[dict]:
    return config[name].dataset.pipeline


def test_the_view_of_a_config_is_that_of_its_key(tiny_config):
    assert view_of(tiny_config()) == View(size=None)
    assert view_of(dict(view=dict(size=64, backend='cv2'))) == View(size=64, backend='cv2')


@pytest.mark.parametrize('found', [None, 224, 'View'])
def test_a_config_without_a_view_is_refused(found):
    with pytest.raises(ConfigError, match='^view: found .*, expected the plain view of the images, such as'):
        view_of(dict(view=found))
    with pytest.raises(ConfigError, match='^view: found None'):
        apply_view(Config(dict(model=dict())))


def test_an_override_of_the_view_reaches_every_pipeline_and_the_model(tiny_config):
    config = tiny_config(**{'view.size': 32, 'view.backend': 'cv2'})
    apply_view(config)
    expected = dict(type='View', size=32, interpolation='bicubic', backend='cv2')
    for name in LOADERS:
        assert steps_of(config, name)[0] == expected
    assert config.model.view == expected
    assert [step['type'] for step in steps_of(config, 'train_dataloader')] == ['View', 'RandomFlip', 'PackInputs']


def test_a_view_that_is_the_same_in_other_words_is_no_other(tiny_config):
    config = tiny_config()
    config.val_dataloader.dataset.pipeline = [dict(type='View', size=None, interpolation='bicubic'), PACK]
    apply_view(config)
    assert steps_of(config, 'val_dataloader')[0] == dict(type='View', size=None, interpolation='bicubic')


def test_a_pipeline_with_a_view_of_its_own_is_refused(tiny_config):
    config = tiny_config()
    config.val_dataloader.dataset.pipeline = [dict(type='View', size=48), PACK]
    before = copy.deepcopy(config.to_dict())
    with pytest.raises(ConfigError) as error:
        apply_view(config)
    message = str(error.value)
    assert message.startswith("val_dataloader.dataset.pipeline: found View(size=48, interpolation='bicubic', ")
    assert "expected View(size=None, interpolation='bicubic', backend='pillow'), the `view` of the config" in message
    assert message.endswith('override view alone, e.g. view.size=448')
    assert config.to_dict() == before


def test_pipelines_without_a_view_step_are_left_alone(tiny_config):
    config = tiny_config(**{'view.size': 32})
    steps = [dict(type='LoadRGBImage'), FLIP, PACK]
    config.train_dataloader.dataset.pipeline = copy.deepcopy(steps)
    apply_view(config)
    assert [dict(step) for step in steps_of(config, 'train_dataloader')] == steps
    assert steps_of(config, 'val_dataloader')[0].size == 32


def test_the_storage_of_a_pipeline_s_images_stays(tiny_config):
    config = tiny_config(**{'view.size': 32})
    storage = dict(backend='local')
    config.train_dataloader.dataset.pipeline = [dict(type='View', size=None, backend_args=storage), FLIP, PACK]
    apply_view(config)
    assert steps_of(config, 'train_dataloader')[0]['backend_args'] == storage
    assert steps_of(config, 'train_dataloader')[0]['size'] == 32


@pytest.mark.parametrize('missing', [*LOADERS, 'model'])
def test_a_config_needs_neither_all_loaders_nor_a_model(tiny_config, missing):
    config = tiny_config(**{'view.size': 32})
    config[missing] = None
    apply_view(config)
    assert all(steps_of(config, name)[0].size == 32 for name in LOADERS if name != missing)


@pytest.mark.parametrize('mirrored', [False, True])
def test_what_is_scored_is_the_view_or_its_mirror_image(tiny_config, mirrored):
    dataset = DATASETS.build(tiny_config().train_dataloader.dataset)
    view = View(size=(20, 30))
    plain = view(dict(img_path=dataset.img_paths[3]))['img']
    item = dataset.with_pipeline(scoring_pipeline(view, mirrored))[3]
    expected = plain[:, ::-1] if mirrored else plain
    assert (item['inputs'].permute(1, 2, 0).numpy() == expected).all()
    assert item['data_samples'].image_id == dataset.image_ids[3]
    assert bool(item['data_samples'].get('flip')) is mirrored


VIEW = dict(type='View', size=None)


@pytest.mark.parametrize(
    ('steps', 'expected'),
    [
        ([VIEW, FLIP, PACK], True),
        ([VIEW, dict(type='RandomFlip', prob=0.1), PACK], True),
        ([dict(type='View', size=None, backend_args=dict(backend='local')), FLIP, PACK], True),
        ([VIEW, dict(type='RandomFlip', prob=0.5, direction='vertical'), PACK], False),
        ([VIEW, dict(type='RandomFlip', prob=[0.5, 0.2], direction=['horizontal', 'vertical']), PACK], False),
        ([dict(type='View', size=32), FLIP, PACK], False),
        ([dict(type='LoadRGBImage'), FLIP, PACK], False),
        ([VIEW, dict(type='Cutout', shape=8, prob=1.0), FLIP, PACK], False),
        ([VIEW, dict(type='Cutout', shape=8, prob=1.0), PACK], False),
        ([VIEW, PACK], False),
        # Nothing says which of the two an image is.
        ([VIEW, FLIP, dict(type='PackInputs', meta_keys=('image_id', 'is_labelled'))], False),
    ],
)
def test_only_a_flip_of_the_plain_view_can_be_kept_for_training(tiny_config, steps, expected):
    dataset = DATASETS.build(tiny_config(**{'train_dataloader.dataset.pipeline': steps}).train_dataloader.dataset)
    assert all(isinstance(step, BaseTransform) for step in dataset.pipeline.transforms)
    assert draws_view_or_mirror(dataset.pipeline.transforms, View(size=None)) is expected


def test_a_view_that_is_replaced_is_said(tiny_config, monkeypatch):
    said = []
    monkeypatch.setattr('cssa_mm.features.view.print_log', lambda text, *details: said.append((text, details[1:])))
    apply_view(tiny_config())
    assert said == []
    config = tiny_config(**{'view.size': 32})
    apply_view(config)
    ((text, level),) = said
    assert text.startswith('view: View(size=32')
    assert 'in place of View(size=None' in text
    assert level == ()
