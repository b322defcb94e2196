"""mmpretrain's model hub knows the shipped configs by name, in a checkout and after an installation."""

import os
import subprocess
import sys
from pathlib import Path

import mmpretrain
import pytest
import torch
from mmpretrain.apis import ModelHub

import cssa_mm
from cssa_mm.apis import model_index

ROOT = Path(__file__).parents[2]
ASK = """
import cssa_mm, mmpretrain
print(cssa_mm.__file__)
print(*mmpretrain.list_models('cssa'))
print(mmpretrain.get_model('cssa_demo').class_names[0])
"""


@pytest.mark.smoke
def test_every_config_is_a_model_of_the_hub():
    names = sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))
    assert len(names) >= 16
    assert set(names) <= set(mmpretrain.list_models())
    assert mmpretrain.list_models('cssa') == [name for name in names if 'cssa' in name]
    for name in names:
        assert Path(ModelHub._models_dict[name].config) == ROOT / 'configs' / f'{name}.py'


@pytest.mark.smoke
def test_a_model_is_built_by_name_and_scores_images():
    model = mmpretrain.get_model('cssa_demo')
    assert type(model) is cssa_mm.models.CSSAClassifier
    assert model._metainfo.in_collection == 'CSSA'
    (sample,) = model(torch.rand(1, 3, 128, 128), mode='predict')
    assert sample.pred_score.shape == (24,)


def test_registering_again_changes_nothing():
    before = mmpretrain.list_models()
    model_index.register_models()
    assert mmpretrain.list_models() == before


def test_without_configs_there_is_nothing_to_register(monkeypatch):
    monkeypatch.setattr(model_index, 'configs_root', lambda: None)
    monkeypatch.setattr(ModelHub, '_models_dict', {})
    model_index.register_models()
    assert ModelHub._models_dict == {}


@pytest.mark.cli
def test_an_installed_package_carries_its_configs(tmp_path):
    build = [sys.executable, 'setup.py', '-q', 'egg_info', '-e', str(tmp_path), 'build', '-b', str(tmp_path / 'build')]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    library = tmp_path / 'build' / 'lib'
    environment = os.environ | dict(PYTHONPATH=str(library), OMP_NUM_THREADS='1')
    found = subprocess.run([sys.executable, '-c', ASK], cwd=tmp_path, env=environment, capture_output=True, text=True)
    where, names, first_class = found.stdout.splitlines()[-3:]
    assert where.startswith(str(library))
    assert names.split() == mmpretrain.list_models('cssa')
    assert first_class == 'sun'
