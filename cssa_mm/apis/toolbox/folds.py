"""`kfold-cross-valid`: trains once for each fold of the labelled images, tests on the fold, and sums up.

The tool builds MMEngine's own runner, draws other folds for each call, and prints no summary.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from cssa_mm.engine.config.preparing import prepare_config
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError
from cssa_mm.evaluation.text_table import aligned, rounded
from cssa_mm.files import write_json

SUMMARY = 'kfold_summary.json'
VALIDATION = ('val_dataloader', 'val_cfg', 'val_evaluator')


class LastMetricsHook(Hook):
    """Keeps the metrics of the last validation."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def after_val_epoch(self, runner: Any, metrics: Mapping[str, float] | None = None) -> None:
        """Called by mmengine after each validation."""
        self.metrics = {name: float(value) for name, value in (metrics or {}).items()}


def run(tool: ModuleType) -> str:
    """The same arguments as the tool, and `--summary`, which only shows what the folds so far gave."""
    only_summary = '--summary' in sys.argv
    sys.argv = [word for word in sys.argv if word != '--summary']
    options = tool.parse_args()
    if options.num_splits < 2 or not (options.fold is None or 0 <= options.fold < options.num_splits):
        raise ConfigError(
            f'--num-splits, --fold: found {options.num_splits} and {options.fold}, expected two folds or more, '
            'counted from 0'
        )
    work_dir = Path(tool.merge_args(Config.fromfile(options.config), options).work_dir)
    if only_summary:
        return summary_text(work_dir)
    train_one = tool.train_single_fold
    last = LastMetricsHook()

    def train_single_fold(config: Config, num_splits: int, fold: int, resume_ckpt: str | None = None) -> None:
        last.metrics = {}
        seed = config.pop('kfold_split_seed')
        train_one(_completed(config, seed), num_splits, fold, resume_ckpt)
        if is_main_process():
            _note(work_dir, dict(num_splits=num_splits, seed=seed), fold, last.metrics)

    def from_cfg(config: Config) -> CSSARunner:
        own = copy.deepcopy(config)  # the tool reads its seed from the config again
        own.pop('kfold_split_seed')
        runner = CSSARunner.from_cfg(own)
        runner.register_hook(last)
        return runner

    tool.Runner = SimpleNamespace(from_cfg=from_cfg)  # type: ignore[attr-defined]
    tool.train_single_fold = train_single_fold  # type: ignore[attr-defined]
    tool.sync_random_seed = lambda: 0  # type: ignore[attr-defined] # the same folds in every call
    tool.main()
    return summary_text(work_dir)


def _completed(config: Config, seed: int) -> Config:
    """The config with its label files found, and validated even where it has no test images: the fold has."""
    own = {name: config.get(name) for name in VALIDATION}
    prepare_config(config)
    for name, value in own.items():
        if config.get(name) is None:
            config[name] = value
    config.kfold_split_seed = seed
    return config


def _note(work_dir: Path, folds: dict[str, int], fold: int, metrics: Mapping[str, float]) -> None:
    """Add the metrics of a fold to those of the other folds of the same kind."""
    path = work_dir / SUMMARY
    known = json.loads(path.read_text('utf-8')) if path.is_file() else {}
    if {key: known.get(key) for key in folds} != folds:
        known = dict(folds, folds={})
    known['folds'][str(fold)] = dict(metrics)
    write_json(path, known)


def summary_text(work_dir: Path) -> str:
    """A table of the metrics of the folds with their mean and standard deviation.

    Raises:
        ConfigError: no fold was trained.
    """
    path = work_dir / SUMMARY
    if not path.is_file():
        raise ConfigError(f"--summary: found no '{path}', expected that of folds that were trained; train them first")
    known = json.loads(path.read_text('utf-8'))
    folds: dict[str, dict[str, float]] = dict(sorted(known['folds'].items(), key=lambda item: int(item[0])))
    names = list(dict.fromkeys(name for metrics in folds.values() for name in metrics))
    rows = [['metric', *(f'fold {fold}' for fold in folds), 'mean', 'std']]
    for name in names:
        values = [metrics.get(name, float('nan')) for metrics in folds.values()]
        finite = [value for value in values if np.isfinite(value)]
        mean = float(np.mean(finite)) if finite else float('nan')
        spread = float(np.std(finite, ddof=1)) if len(finite) > 1 else float('nan')
        rows.append([name, *(rounded(value, 2) for value in [*values, mean, spread])])
    head = f'{len(folds)} of {known["num_splits"]} folds of the labelled images (seed {known["seed"]}), in {path}'
    untested = [fold for fold, metrics in folds.items() if not metrics]
    notes = [f'without a validation, so that they count for nothing: fold {", ".join(untested)}'] if untested else []
    return '\n'.join([head, aligned(rows), *notes])
