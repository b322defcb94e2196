"""What the tests of studies share: a small demo and a call of tools/study.py's function on it."""

from pathlib import Path

import pytest

from cssa_mm.demo.scenes import generate_demo
from cssa_mm.studies.jobs import parser, study


@pytest.fixture(scope='session')
def small_demo(tmp_path_factory) -> Path:
    """120 training and 48 test scenes."""
    root = tmp_path_factory.mktemp('demo') / 'icons'
    generate_demo(root, num_train=120, num_test=48)
    return root


@pytest.fixture(scope='session')
def run_study(small_demo, tmp_path_factory):
    """run_study('baselines', work_dir, '--seeds', 1, **overrides) -> the summary on the small demo, features shared."""
    features = tmp_path_factory.mktemp('features')

    def call(name, work_dir: Path, *arguments, **options) -> dict:
        words = [name, '--work-dir', work_dir, '--data-root', small_demo, '--features', features, *arguments]
        args = parser('').parse_args([str(word) for word in words])
        args.cfg_options = {'train_cfg.warmup_epochs': 1, 'default_hooks.feature_cache.num_workers': 0} | options
        return study(args)

    return call
