"""Training and testing from a config: what the tools do after parsing their arguments."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import mmengine
from mmengine.config import Config
from mmengine.evaluator import DumpResults
from mmengine.runner import Runner

from cssa_mm.compat import init_cpu_process_group
from cssa_mm.engine.config_guard import check_config
from cssa_mm.errors import CheckpointError, ConfigError

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def load_config(path: str, cfg_options: dict | None = None, data_root: str | None = None) -> Config:
    """Read a config file with overrides and check all of its keys.

    Raises:
        ConfigError: the file is missing or broken, or a key is unknown.
    """
    if not Path(path).is_file():
        raise ConfigError(f"config: found no file '{path}', expected one such as configs/cssa_demo.py")
    try:
        config = Config.fromfile(path)
    except (SyntaxError, KeyError, NameError, OSError) as error:
        raise ConfigError(f'{path}: cannot be read as a config ({" ".join(str(error).split())})') from error
    if data_root is not None:
        for name in LOADERS:
            if config.get(name):
                config[name].dataset.data_root = data_root
    if cfg_options:
        config.merge_from_dict(cfg_options)
    check_config(config)
    return config


def build_runner(config: Config, work_dir: str, launcher: str = 'none') -> Runner:
    """A Runner on any machine: gloo starts here where there is no CUDA."""
    config.launcher = launcher
    config.work_dir = work_dir
    if init_cpu_process_group(launcher):
        config.model_wrapper_cfg.device_ids = None  # the wrapper refuses GPU numbers for CPU modules
    return Runner.from_cfg(config)


def train(args: argparse.Namespace) -> Runner:
    """Train as `tools/train.py` does; returns the runner with the trained model."""
    config = _config_of(args)
    if args.no_validate:
        config.val_cfg = config.val_dataloader = config.val_evaluator = None
    if args.amp:
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in config:
            raise ConfigError(
                '--auto-scale-lr: found no auto_scale_lr in the config, expected dict(base_batch_size=64); the '
                'global batch does not grow with the number of GPUs here, so the rate need not either'
            )
        config.auto_scale_lr.enable = True
    if args.resume:
        config.resume = True
        config.load_from = None if args.resume == 'auto' else args.resume
        _require_file(config.load_from)
    if args.no_persistent_workers:
        for name in LOADERS:
            if config.get(name):
                config[name].persistent_workers = False
    runner = build_runner(config, _work_dir(config, args), args.launcher)
    runner.train()
    return runner


def test(args: argparse.Namespace) -> dict[str, float]:
    """Test as `tools/test.py` does; returns the metrics."""
    if args.out_item and not args.out:
        raise ConfigError('--out-item: found no --out, expected the file to write to')
    config = _config_of(args)
    untrained = args.checkpoint == 'none'
    config.load_from = None if untrained else args.checkpoint
    _require_file(config.load_from)
    if args.amp:
        config.test_cfg.fp16 = True
    if args.tta:
        raise ConfigError('--tta: not supported; set model.backbone or the test pipeline in the config instead')
    if args.show or args.show_dir:
        config.default_hooks.visualization.update(
            enable=True,
            show=args.show,
            wait_time=args.wait_time,
            out_dir=args.show_dir,
            interval=args.interval,
        )
    runner = build_runner(config, _work_dir(config, args), args.launcher)
    if args.out and args.out_item != 'metrics':
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    metrics = runner.test()
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)
    return metrics


def _config_of(args: argparse.Namespace) -> Config:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config = load_config(args.config, args.cfg_options, args.data_root)
    if args.no_pin_memory:
        for name in LOADERS:
            if config.get(name):
                config[name].pin_memory = False
    return config


def _work_dir(config: Config, args: argparse.Namespace) -> str:
    return args.work_dir or config.get('work_dir') or str(Path('work_dirs', Path(args.config).stem))


def _require_file(path: Any) -> None:
    if path is not None and not Path(path).is_file() and '://' not in str(path):
        raise CheckpointError(f"checkpoint: found no file '{path}', expected one that tools/train.py wrote")
