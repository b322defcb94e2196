"""What the tests of studies share: a small demo, and studies of a few seconds on it."""

from pathlib import Path

import pytest

from cssa_mm.demo.scenes import generate_demo
from cssa_mm.studies.jobs import run_study


@pytest.fixture(scope='session')
def small_demo(tmp_path_factory) -> Path:
    """120 training and 48 test scenes."""
    root = tmp_path_factory.mktemp('demo') / 'icons'
    generate_demo(root, num_train=120, num_test=48)
    return root


@pytest.fixture(scope='session')
def features(tmp_path_factory) -> Path:
    """A folder of frozen features for all tests."""
    return tmp_path_factory.mktemp('features')


@pytest.fixture(scope='session')
def run_toy(small_demo, features):
    """run_toy('baselines', work_dir, rows=['cssa'], **arguments of run_study) -> the summary on the small demo."""

    def call(study: str, work_dir: Path, **arguments) -> dict:
        overrides = {'train_cfg.warmup_epochs': 1, 'default_hooks.pseudo_labels.num_workers': 0}
        overrides['default_hooks.calibration.folds'] = 0  # training again for each fold is tested with the calibration
        overrides |= arguments.pop('overrides', {})
        arguments = dict(data_root=small_demo, seeds=[1], features=features) | arguments
        return run_study(study=study, work_dir=work_dir, overrides=overrides, **arguments)

    return call
