"""What a picture of known colours tells of a pipeline."""

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.registry import DATASETS

from cssa_mm.datasets.view import View
from cssa_mm.engine.pipeline_trial import known_picture, try_pipelines
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

VIEW = View(size=32)
LOAD, PACK = dict(type='LoadRGBImage'), dict(type='PackInputs', meta_keys=('image_id', 'is_labelled', 'flip'))
SAME = [dict(type='View', size=32), PACK]
RESIZED = dict(type='Resize', scale=(32, 32), backend='pillow', interpolation='bicubic')


@pytest.fixture
def said(tiny_config, monkeypatch):
    """said(pipeline, is_test, view) -> what is said of a pipeline."""
    lines = []
    monkeypatch.setattr('cssa_mm.engine.pipeline_trial.print_log', lambda text, *details: lines.append(text))
    options = tiny_config().test_dataloader.dataset

    def tell(pipeline, is_test=True, view=VIEW):
        lines.clear()
        try_pipelines(DATASETS.build(dict(options, pipeline=pipeline)), view, 'test_dataloader.dataset', is_test)
        return list(lines)

    return tell


class Blue(BaseTransform):
    """A loader of another package."""

    def transform(self, results):
        results['img'] = View(size=None).load(results['img_path'])[..., ::-1]
        return results


class Failing(BaseTransform):
    def transform(self, results):
        raise KeyError('boxes')


@pytest.mark.parametrize(
    'pipeline',
    [SAME, [LOAD, RESIZED, PACK], [dict(type='View', size=32, bits=12), PACK]],
    ids=['the view', 'its two steps', 'other bits'],
)
def test_the_pixels_of_the_view_are_nothing_to_talk_about(said, pipeline):
    assert said(pipeline) == []


def test_sizes_are_told_both(said):
    (line,) = said([LOAD, dict(type='ResizeEdge', scale=56), dict(type='CenterCrop', crop_size=48), PACK])
    assert line.startswith(
        'test_dataloader.dataset.pipeline: found images of 48 x 48 pixels, but pseudo-labels, predictions and exports '
        'have 32 x 32, the `view` of the config'
    )
    crop = [LOAD, dict(type='RandomResizedCrop', scale=448), PACK]
    (line,) = said(crop, is_test=False)
    assert 'found images of 448 x 448 pixels, but pseudo-labels, predictions and exports have 32 x 32' in line
    (line,) = said(crop, is_test=False, view=View(size=None))
    assert 'have 240 x 320 (of a picture of 240 x 320, whose size the view keeps)' in line


def test_other_pixels_of_the_same_size_count_in_a_test_alone(said):
    flipped = [dict(type='View', size=32), dict(type='RandomFlip', prob=1.0), PACK]
    (line,) = said(flipped)
    assert 'found another view than View(size=32' in line
    assert said(flipped, is_test=False) == []
    (line,) = said([LOAD, dict(type='ResizeEdge', scale=32), dict(type='CenterCrop', crop_size=32), PACK])
    assert 'though of the same size, 32 x 32' in line


def test_blue_for_red_is_refused_whatever_loads_it(said):
    with pytest.raises(ConfigError, match='found Blue, which gives BGR, expected RGB'):
        said([Blue(), RESIZED, PACK])
    with pytest.raises(ConfigError, match='LoadImageFromFile, which gives BGR'):
        said([dict(type='mmcv.LoadImageFromFile'), RESIZED, PACK], is_test=False)


@pytest.mark.parametrize('scale', [dict(mean=[122.0, 116.0, 104.0], std=[68.0, 66.0, 70.0]), dict(mean=[0.0] * 3)])
def test_pixels_that_are_normalised_already_are_refused(said, scale):
    step = dict(type='Normalize', to_rgb=False) | dict(std=[255.0] * 3) | scale
    with pytest.raises(ConfigError, match='found pixels from .*, expected 0 to 255.*leave Normalize out'):
        said([LOAD, RESIZED, step, PACK], is_test=False)


def test_a_step_that_fails_on_the_picture_is_told_and_no_more(said):
    (line,) = said([*SAME[:1], Failing(), PACK])
    assert "could not be sent through it (KeyError('boxes'))" in line


def test_a_trial_leaves_random_numbers_and_data_as_they_were(said):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    said([LOAD, dict(type='RandomResizedCrop', scale=32), dict(type='RandomFlip', prob=0.5), PACK], is_test=False)
    assert (np.random.get_state()[1] == before[0]).all()
    assert torch.equal(torch.get_rng_state(), before[1])


def test_the_picture_has_red_before_green_before_blue():
    red, green, blue = known_picture().transpose(2, 0, 1).astype(int)
    assert (red - green).min() > 20
    assert (green - blue).min() > 20


def test_training_and_test_try_their_pipelines(tiny_config, monkeypatch):
    lines = []
    monkeypatch.setattr('cssa_mm.engine.pipeline_trial.print_log', lambda text, *details: lines.append(text))
    crop = [LOAD, dict(type='RandomResizedCrop', scale=48), PACK]
    short = {'train_cfg.warmup_epochs': 1, 'train_cfg.semi_epochs': 0, 'default_hooks.calibration.rule': 'none'}
    runner = CSSARunner.from_cfg(
        tiny_config(
            **short,
            **{f'{name}_dataloader.dataset.pipeline': crop for name in ('train', 'val')},
        )
    )
    runner.train()
    runner.test()
    assert [line.split(':')[0] for line in lines] == [
        'train_dataloader.dataset.pipeline',
        'val_dataloader.dataset.pipeline',
    ]


def test_normalised_views_of_test_time_augmentation_are_refused_too(said):
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    normalised = dict(type='Normalize', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=False)
    assert said([LOAD, dict(type='TestTimeAug', transforms=[[RESIZED], flips, [PACK]])]) == []
    with pytest.raises(ConfigError, match='leave Normalize out'):
        said([LOAD, dict(type='TestTimeAug', transforms=[[RESIZED], flips, [normalised], [PACK]])])
