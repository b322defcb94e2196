"""Configs by name, path or object, with overrides; every key is checked."""

from pathlib import Path

import pytest
from mmengine.config import Config

import cssa_mm
from cssa_mm import load_config
from cssa_mm.errors import ConfigError

ROOT = Path(__file__).parents[2]
FILE = ROOT / 'configs' / 'cssa_demo.py'


@pytest.mark.smoke
def test_a_config_is_found_by_name_path_or_as_an_object(monkeypatch, tmp_path):
    expected = cssa_mm.load_config(FILE).to_dict()
    assert expected['model']['class_names'] == 'IconsDataset'
    monkeypatch.chdir(tmp_path)  # a shipped config is found from anywhere
    for config in (str(FILE), 'cssa_demo', 'configs/cssa_demo.py', Config.fromfile(FILE)):
        assert cssa_mm.load_config(config).to_dict() == expected


def test_a_file_of_the_user_comes_before_a_shipped_config(tmp_path, monkeypatch):
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'cssa_demo.py').write_text(f"_base_ = '{FILE}'\ntrain_cfg = dict(semi_epochs=1)\n")
    monkeypatch.chdir(tmp_path)
    assert cssa_mm.load_config('configs/cssa_demo.py').train_cfg.semi_epochs == 1
    assert cssa_mm.load_config('cssa_demo').train_cfg.semi_epochs == 12


def test_a_config_that_is_handed_over_is_left_as_it_is():
    config = Config.fromfile(FILE)
    before = config.to_dict()
    found = cssa_mm.load_config(config, overrides={'train_cfg.semi_epochs': 3, 'view.size': 64}, data_root='elsewhere')
    assert found.train_cfg.semi_epochs == 3
    assert config.to_dict() == before


def test_overrides_are_dotted_and_reach_everything_that_depends_on_them():
    overrides = {'train_cfg.semi_epochs': 3, 'model.head.prompts.num_context': 2, 'view.size': 64}
    found = cssa_mm.load_config('cssa_demo', overrides=overrides)
    untouched = cssa_mm.load_config('cssa_demo')
    assert (found.train_cfg.semi_epochs, untouched.train_cfg.semi_epochs) == (3, 12)
    assert found.model.head.prompts.num_context == 2
    assert found.model.head.attention_temperature == untouched.model.head.attention_temperature
    for name in ('train', 'val', 'test'):
        assert found[f'{name}_dataloader'].dataset.pipeline[0].size == 64
    assert found.model.view.size == 64
    assert overrides == {'train_cfg.semi_epochs': 3, 'model.head.prompts.num_context': 2, 'view.size': 64}


def test_the_data_root_is_that_of_every_data_set(tmp_path):
    for name in ('labels', 'test'):
        (tmp_path / f'{name}.csv').write_text('image,labels\n')
    found = cssa_mm.load_config('cssa_table', data_root=tmp_path)
    for name in ('train', 'val', 'test'):
        assert found[f'{name}_dataloader'].dataset.data_root == str(tmp_path)
    assert found.model.class_names.data_root == str(tmp_path)


def test_a_tower_is_name_weights_and_folder_at_once(clip_dir):
    backbone = cssa_mm.load_config('cssa_coco_p05', tower=f'tiny-rn:{clip_dir}').model.backbone
    weights = str(clip_dir / 'tiny-rn.pt')
    assert (backbone.model_name, backbone.pretrained, backbone.config_dir) == ('tiny-rn', weights, str(clip_dir))
    untouched = cssa_mm.load_config('cssa_coco_p05').model.backbone
    assert (backbone.dense, backbone.global_token) == (untouched.dense, untouched.global_token)
    overrides = {'model.backbone.dense': 'attention', 'model.backbone.pretrained': None}
    backbone = cssa_mm.load_config('cssa_coco_p05', tower=f'tiny-rn:{clip_dir}', overrides=overrides).model.backbone
    assert (backbone.model_name, backbone.pretrained, backbone.dense) == ('tiny-rn', None, 'attention')
    backbone = cssa_mm.load_config('cssa_coco_p05', tower='demo').model.backbone
    assert (backbone.model_name, backbone.pretrained, backbone.config_dir) == ('cssa-demo-rn', 'demo', None)


def test_another_tower_does_not_inherit_the_activation(tmp_path):
    (tmp_path / 'own.py').write_text(f"_base_ = '{FILE}'\nmodel = dict(backbone=dict(activation='gelu'))\n")
    assert cssa_mm.load_config(tmp_path / 'own.py').model.backbone.activation == 'gelu'
    found = cssa_mm.load_config(tmp_path / 'own.py', tower='RN50-quickgelu:openai')
    assert found.model.backbone.get('activation') is None


@pytest.mark.parametrize(
    ('tower', 'message'),
    [
        ('ViT-B-32:openai', "trained with QuickGELU: expected 'ViT-B-32-quickgelu'"),
        ('ViT-B-32:FILE', "which does not tell its activation: expected 'ViT-B-32-quickgelu'"),
        ('coca_ViT-B-32:laion2b_s13b_b90k', 'found an image tower with an attentional pooler'),
        ('ViT-B-32:openay', "Did you mean 'openai'"),
        ('ViT-B-32', 'found .ViT-B-32. without weights'),
    ],
)
def test_a_wrong_tower_is_refused_before_anything_is_built(clip_dir, tower, message):
    with pytest.raises(ConfigError, match=message):
        cssa_mm.load_config('cssa_demo', tower=tower.replace('FILE', str(clip_dir / 'tiny-rn.pt')))


def test_an_override_answers_what_the_tower_leaves_open(clip_dir):
    overrides = {'model.backbone.activation': 'gelu'}
    tower = f'ViT-B-32:{clip_dir / "tiny-rn.pt"}'
    assert cssa_mm.load_config('cssa_demo', tower=tower, overrides=overrides).model.backbone.activation == 'gelu'


@pytest.mark.parametrize(
    ('overrides', 'message'),
    [
        ({'train_cfg.semi_epoch': 3}, "unknown key 'train_cfg.semi_epoch'.*Did you mean 'semi_epochs'"),
        ({'model.hed.score': 'dual'}, "unknown key 'model.hed'.*Did you mean 'head'"),
        ({'model.head.type': 'LabelAlignmentHed'}, "unknown component 'LabelAlignmentHed' as model.head.type"),
        ({'param_scheduler.7.begin': 1}, 'found an override that does not fit'),
        ({'view.size': -1}, 'view.size: found -1'),
    ],
)
def test_overrides_that_do_not_fit_are_refused_in_one_line(overrides, message):
    with pytest.raises(ConfigError, match=message) as error:
        cssa_mm.load_config('cssa_demo', overrides=overrides)
    assert '\n' not in str(error.value)


def test_a_config_that_is_missing_or_broken_is_refused_in_one_line(tmp_path):
    cases = {
        'syntax.py': 'model = dict(',
        'fault.py': 'raise RuntimeError("two\\nlines")',
        'base.py': "_base_ = 'no.py'",
    }
    for name, text in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match='found no usable config') as error:
            cssa_mm.load_config(tmp_path / name)
        assert str(error.value).startswith(f'{tmp_path / name}: ')
        assert '\n' not in str(error.value)
    with pytest.raises(ConfigError, match="config: found no file 'cssa_dem'"):
        cssa_mm.load_config('cssa_dem')


def test_loaders_without_workers_keep_none():
    overrides = {'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': True}
    found = cssa_mm.load_config('cssa_demo', overrides=overrides)
    assert found.train_dataloader.persistent_workers is False
    assert found.val_dataloader.persistent_workers is True


def test_a_label_file_in_place_of_a_config_is_told_what_to_do(tmp_path):
    (tmp_path / 'labels.csv').write_text('image,labels\n')
    with pytest.raises(ConfigError, match='config: found the label file .*labels.csv.*--labels labels.csv'):
        load_config(tmp_path / 'labels.csv')
    lists = {'list.json': '[{"image": "a.jpg"}]', 'list.yml': '- a'}
    for name, text in {'data.yaml': 'names: [cat]\n', 'export.json': '{"images": []}', **lists}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match=f'{name}: found no config, .*--labels {name}'):
            load_config(tmp_path / name)


def test_a_folder_below_the_home_directory_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos' / 'labels.csv').write_text('image,labels\n')
    root = load_config('~/photos').train_dataloader.dataset.data_root
    assert root == str(tmp_path / 'photos')
