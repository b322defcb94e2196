"""The size of images, and pipelines and preprocessors that are written as mmpretrain's files write them."""

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop
from mmpretrain.registry import MODELS
from PIL import Image

from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.guard_hook import GuardHook
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError

AREA = 'Sizes'
LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackInputs')
CROP = dict(type='RandomResizedCrop', scale=96, backend='pillow', interpolation='bicubic')
LOADERS = ('train', 'val', 'test')


@pytest.fixture
def begun(tiny_config, monkeypatch):
    """begun(**overrides) -> the runner of a training that takes no step, after its checks, and what they said."""
    lines = []
    monkeypatch.setattr(EpochBasedTrainLoop, 'run', lambda loop: None)
    for module in ('engine.pipeline_trial', 'engine.config.pixels', 'models.identity'):
        monkeypatch.setattr(f'cssa_mm.{module}.print_log', lambda text, *details: lines.append(text))

    def make(**overrides):
        runner = CSSARunner.from_cfg(tiny_config(**overrides))
        runner.train()
        GuardHook().before_train(runner)
        return runner, lines

    return make


@pytest.mark.toolbox(
    AREA,
    '`view.size=448`',
    'works',
    'one setting for training, pseudo-labels, validation, test and, with the checkpoint, predictions and exports',
)
def test_one_key_sets_the_size_of_all_parts(begun):
    runner, lines = begun(**{'view.size': 48})
    for loader in (runner.train_dataloader, runner.val_dataloader):
        assert loader.dataset[0]['inputs'].shape == (3, 48, 48)
    assert runner.model.view.size == (48, 48)
    assert lines == []


@pytest.mark.toolbox(
    AREA,
    'a ViT at another size than it was trained with',
    'works',
    'its grid of positions is resized, by bicubic weights',
)
def test_a_vit_reads_other_sizes(tiny_config, backbone_config):
    tower = MODELS.build(backbone_config('tiny-vit'))
    local, pooled = tower(torch.randn(1, 3, 96, 96))
    assert local.shape[1] == (96 // 16) ** 2 + 1
    assert bool(torch.isfinite(pooled).all())


@pytest.mark.toolbox(
    AREA,
    "mmpretrain's pipelines: `LoadImageFromFile`, `ResizeEdge`, `CenterCrop`, `RandomResizedCrop`, `PackInputs`",
    'works',
    'images are loaded as RGB; a size or view that differs from `view`, which pseudo-labels and exports have, is said',
)
def test_pipelines_of_mmpretrain_give_rgb_and_tell_their_sizes(begun, tmp_path):
    test = [LOAD, dict(type='ResizeEdge', scale=80, edge='short'), dict(type='CenterCrop', crop_size=72), PACK]
    parts = dict(train=[LOAD, CROP, PACK], val=test, test=test)
    runner, lines = begun(
        **{'view.size': 64}, **{f'{name}_dataloader.dataset.pipeline': steps for name, steps in parts.items()}
    )
    said = [line for line in lines if 'found images of' in line]
    assert 'found images of 96 x 96 pixels, but pseudo-labels, predictions and exports have 64 x 64' in said[0]
    assert 'val_dataloader.dataset.pipeline: found images of 72 x 72' in said[1]
    dataset = runner.train_dataloader.dataset
    Image.new('RGB', (90, 80), (250, 100, 20)).save(tmp_path / 'red.png')
    dataset.img_paths = [str(tmp_path / 'red.png')] * len(dataset)
    assert dataset[0]['inputs'][:, 5, 5].tolist() == [250, 100, 20]


@pytest.mark.toolbox(
    AREA, '`Normalize` in a pipeline, or a loader of another package that gives BGR', 'refused', 'before the first step'
)
def test_pixels_of_another_kind_are_refused(begun):
    normalised = [dict(type='View', size=None), dict(type='Normalize', mean=[0] * 3, std=[255] * 3, to_rgb=False), PACK]
    with pytest.raises(ConfigError, match='leave Normalize out'):
        begun(**{'train_dataloader.dataset.pipeline': normalised})
    with pytest.raises(ConfigError, match='which gives BGR, expected RGB'):
        begun(**{'train_dataloader.dataset.pipeline': [dict(LOAD, type='mmcv.LoadImageFromFile'), PACK]})


@pytest.mark.toolbox(
    AREA,
    '`data_preprocessor=dict(num_classes=..., mean=..., std=..., to_rgb=True)` beside the model',
    'works',
    'left out, which one line says: images are RGB, and the frozen tower has statistics of its own',
)
def test_a_preprocessor_of_a_data_set_file_is_left_out(begun):
    theirs = dict(num_classes=20, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
    runner, (line,) = begun(data_preprocessor=theirs)
    assert line.startswith('data_preprocessor: left out (num_classes, mean, std, to_rgb)')
    expected = 255 * torch.tensor(runner.model.backbone.clip.mean)
    torch.testing.assert_close(runner.model.data_preprocessor.mean.flatten(), expected)


@pytest.mark.toolbox(
    AREA,
    '`model.data_preprocessor` with `to_rgb=True`, other `mean` and `std`, or `batch_augments` (Mixup, CutMix)',
    'refused',
    "checkpoints and exports have the tower's statistics; a pseudo-label belongs to one image",
)
@pytest.mark.parametrize(
    ('options', 'key'),
    [
        (dict(to_rgb=True), 'to_rgb'),
        (dict(mean=[0.0] * 3, std=[1.0] * 3), 'mean'),
        (dict(batch_augments=dict(augments=[dict(type='Mixup', alpha=0.2)])), 'batch_augments'),
    ],
)
def test_another_preprocessor_of_the_model_is_refused(begun, options, key):
    with pytest.raises(ConfigError, match=f'^model.data_preprocessor.{key}: found .*; leave it out$'):
        begun(**{'model.data_preprocessor': options})


@pytest.mark.toolbox(
    AREA,
    '`cssa test` or a start from a checkpoint with another `view.size` than it was trained with',
    'works',
    'a warning names both; `cssa predict`, `load_model` and exports always use that of the checkpoint',
)
def test_another_size_than_that_of_the_checkpoint_is_said(begun, tiny_config, tmp_path):
    model = MODELS.build(prepare_config(tiny_config(**{'view.size': 48})).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'c.pth')
    _, (line,) = begun(**{'view.size': 64, 'load_from': str(tmp_path / 'c.pth')})
    assert 'found the training view View(size=48' in line
    assert 'the model uses View(size=64' in line
