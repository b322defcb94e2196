"""The built wheel, installed beside nothing else of the repository, in an empty folder."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.cli, pytest.mark.slow]
OPEN_AND_SCORE = """
import glob, json, sys
import cssa_mm
assert 'site' in cssa_mm.__file__, cssa_mm.__file__
model = cssa_mm.load_model(sys.argv[1], device='cpu')
(result,) = cssa_mm.Predictor(model).predict(sys.argv[2])
best = max(zip(result.scores.tolist(), model.class_names))
print(json.dumps([len(result.scores), result.labels, best[1]]))
"""
ALL_CONFIGS = """
import sys
import cssa_mm
from cssa_mm.files import configs_root
names = [path.stem for path in (configs_root() / 'configs').glob('*.py')]
for name in names:
    config = cssa_mm.load_config(name)
    assert config.model.type == 'CSSAClassifier', name
print(len(names))
"""


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of what git knows: build leftovers of the checkout stay out."""
    copy, out = tmp_path_factory.mktemp('copy'), tmp_path_factory.mktemp('wheel')
    files = subprocess.run(
        ['git', 'ls-files', '-z', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, check=True
    )
    for name in files.stdout.decode().split('\0'):
        if name and (ROOT / name).is_file() and not name.startswith(('tests/', 'docs/')):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation', '-w', out, copy]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(out.glob('*.whl'))


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """installed(*command) -> its output, run in an empty folder with the installed wheel and no checkout."""
    site, folder = tmp_path_factory.mktemp('site'), tmp_path_factory.mktemp('empty')
    command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--target', site, wheel]
    subprocess.run(command, check=True, capture_output=True)
    environment = os.environ | dict(PYTHONPATH=str(site), OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')

    def run(*words: object) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    run.folder, run.site = folder, site
    return run


def test_the_wheel_holds_configs_the_demo_s_clip_and_nothing_of_the_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        'cssa_mm/configs/cssa_demo.py',
        'cssa_mm/configs/studies/baselines.py',
        'cssa_mm/configs/metafile.yml',
        'cssa_mm/demo/clip/cssa_demo_rn.safetensors',
        'cssa_mm/models/background_nouns.txt',
        'cssa_mm/py.typed',
        *(f'cssa_mm/visualization/pages/{name}' for name in ('frame.html', 'style.css', 'report.html', 'report.js')),
        'cssa.py',
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(('tests/', 'tools/')) or '__pycache__' in name]
    (entry_points,) = (name for name in names if name.endswith('entry_points.txt'))
    assert 'cssa = cssa:main' in zipfile.ZipFile(wheel).read(entry_points).decode()


def test_every_config_loads_by_name(installed):
    assert int(installed('-c', ALL_CONFIGS)) == len(list((ROOT / 'configs').glob('*.py')))


@pytest.mark.long
def test_train_study_and_predict_run_from_an_empty_folder(installed):
    installed('-m', 'cssa_mm', 'demo-data', '--out', 'data/icons', '--num-train', 60, '--num-test', 20)
    short = ['train_cfg.warmup_epochs=1', 'train_cfg.semi_epochs=1', 'train_cfg.val_begin=5']
    short += ['train_dataloader.dataset.split.proportion=0.4', 'train_dataloader.batch_size=16']
    installed('-m', 'cssa_mm', 'train', 'cssa_plus_demo', '--work-dir', 'run', '--cfg-options', *short)
    checkpoint = str(installed.folder / 'run' / (installed.folder / 'run' / 'last_checkpoint').read_text())
    image = next((installed.folder / 'data' / 'icons' / 'test').iterdir())
    count, labels, best = json.loads(installed('-c', OPEN_AND_SCORE, checkpoint, image).splitlines()[-1])
    assert count == 24
    assert isinstance(best, str)
    rows = ['--rows', 'zero_shot', 'linear_probe', '--seeds', 1, '--cfg-options']
    installed('-m', 'cssa_mm', 'study', 'baselines', *rows, 'train_dataloader.dataset.split.proportion=0.4')
    assert (installed.folder / 'work_dirs' / 'studies' / 'baselines' / 'table.md').is_file()
