"""Train a model from a config."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from cssa_mm.apis.config import load_config
from cssa_mm.apis.reporting.report import prepare_report, report_training
from cssa_mm.engine.config.vis_backends import live_services
from cssa_mm.engine.latest import check_checkpoint
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.engine.work_dir import free_work_dir
from cssa_mm.errors import CheckpointError, ConfigError, CSSAError
from cssa_mm.features.view import LOADERS
from cssa_mm.models.description import read_description


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Attributes:
        work_dir: directory of logs, checkpoints and `pseudo_labels.jsonl`.
        checkpoint: the last checkpoint; None where the config writes none.
        metrics: those of the last validation, in per cent, e.g. `ema/mAP`; empty without validation data.
        report: the page that shows all of it; None where the config says `report=False`, or it could not be written.
        runner: MMEngine's runner, with the trained model.
    """

    work_dir: Path
    checkpoint: Path | None
    metrics: dict[str, float]
    report: Path | None
    runner: Runner = field(repr=False)


def train(
    *,
    config: str | os.PathLike | Config,
    data_root: str | os.PathLike | None = None,
    overrides: Mapping[str, object] | None = None,
    tower: str | os.PathLike | None = None,
    work_dir: str | os.PathLike | None = None,
    resume: bool | str | os.PathLike = False,
    validate: bool = True,
    device: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    pin_memory: bool = True,
    persistent_workers: bool = True,
    tensorboard: bool = False,
    launcher: str = 'none',
) -> TrainingResult:
    """Train a model, and write `report.html` about it into the work directory (config key `report`, True).

    Args:
        config: a config file, or a shipped config by its name.
        data_root: directory of the data.
        overrides: dotted key -> value, as `--cfg-options` takes them.
        tower: the tower in place of the config's: `NAME:TAG`, `NAME:PATH` (see `load_config`).
        work_dir: directory of all results; `work_dirs/NAME_OF_CONFIG` by default.
        resume: True resumes from the latest checkpoint of `work_dir`, a path from that checkpoint.
        validate: False trains without validation data.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.
        amp: automatic mixed precision (CUDA).
        auto_scale_lr: scale the learning rate by the batch size, as mmpretrain does.
        pin_memory: False switches pinned memory off in all loaders.
        persistent_workers: False restarts the loaders' workers every epoch.
        tensorboard: show it in TensorBoard while it runs (config key `live`, which names other services, too).
        launcher: 'none', 'pytorch', 'slurm' or 'mpi', as in mmpretrain.

    Raises:
        ConfigError: a key or component of the config is unknown, or an argument contradicts it.
        DataError: images, annotations or class names are missing or don't fit.
        CheckpointError: the checkpoint to resume from is missing or was made for another model.

    Examples:
        >>> import cssa_mm
        >>> short = {'train_cfg.warmup_epochs': 1, 'train_cfg.semi_epochs': 1}  # doctest: +SKIP
        >>> result = cssa_mm.train(config='cssa_demo', overrides=short, work_dir='work_dirs/short')  # doctest: +SKIP
        >>> result.metrics['ema/mAP']  # doctest: +SKIP
        51.3
    """
    settings = load_config(config, overrides=overrides, data_root=data_root, tower=tower)
    if not validate:
        settings.val_cfg = settings.val_dataloader = settings.val_evaluator = None
    if device is not None:
        settings.device = device
    if amp:
        if not torch.cuda.is_available():
            raise ConfigError(
                '--amp: found no CUDA device, expected one; leave it out, or set model.backbone.precision'
            )
        settings.optim_wrapper.type = 'AmpOptimWrapper'
        settings.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if auto_scale_lr:
        if not (settings.get('auto_scale_lr') or {}).get('base_batch_size'):
            raise ConfigError(
                '--auto-scale-lr: found no auto_scale_lr.base_batch_size in the config, expected the number of images '
                'of a step that its learning rate is meant for, such as auto_scale_lr=dict(base_batch_size=64); the '
                'global batch does not grow with the number of GPUs here, so the rate need not either'
            )
        settings.auto_scale_lr.enable = True
    if resume:
        settings.resume = True
        settings.load_from = None if resume is True else os.fspath(resume)
    if tensorboard:
        settings.live = list(dict.fromkeys([*live_services(settings), 'tensorboard']))
    set_loaders(settings, pin_memory, persistent_workers)
    folder = free_work_dir(settings, work_dir_of(settings, work_dir))
    runner = build_runner(settings, folder, launcher)
    prepare_report(runner)
    runner.train()
    # Not the file last_checkpoint: an earlier run may have left it.
    latest = runner.message_hub.get_info('last_ckpt')
    return TrainingResult(
        work_dir=Path(folder),
        checkpoint=None if latest is None else Path(latest),
        metrics=_last_validation(runner),
        report=report_training(runner),
        runner=runner,
    )


def build_runner(config: Config, work_dir: str | os.PathLike, launcher: str = 'none') -> CSSARunner:
    """The runner of a config on any machine.

    Raises:
        CheckpointError: the checkpoint to start from is missing or unreadable.
    """
    config.launcher = launcher
    config.work_dir = os.fspath(work_dir)
    content = check_checkpoint(config)
    try:
        return CSSARunner.from_cfg(config)
    except CSSAError as error:
        hint = _other_tower(content, config)
        if hint:
            raise type(error)(str(error).rstrip('.') + hint) from error
        raise


def _other_tower(content: dict | None, config: Config) -> str:
    """The hint that a checkpoint was trained with another tower than that of the config."""
    tower = trained_tower(content)
    model = config.model.get('module') or config.model  # without test-time augmentation around it
    if tower is None or tower['model_name'] == model.backbone.get('model_name'):
        return ''
    name, tag = tower['model_name'], tower.get('pretrained')
    return f'; the checkpoint was trained with another tower: --tower {f"{name}:{tag}" if tag else name}'


def trained_tower(content: Any) -> dict[str, Any] | None:
    """The description of the tower that a checkpoint of this content was trained with; None if it does not tell."""
    try:
        return read_description((content.get('state_dict') if isinstance(content, dict) else None) or {})['tower']
    except CheckpointError:  # an older form, or none of ours: told where it is loaded
        return None


def work_dir_of(config: Config, work_dir: str | os.PathLike | None) -> str:
    """The directory of results: the one that is asked for, the config's, or `work_dirs/NAME_OF_CONFIG`."""
    name = Path(config.filename or 'config').stem
    return os.fspath(work_dir or config.get('work_dir') or Path('work_dirs', name))


def set_loaders(config: Config, pin_memory: bool, persistent_workers: bool) -> None:
    """Switch pinned memory or persistent workers off in all loaders of a config."""
    for name in LOADERS:
        if config.get(name):
            if not pin_memory:
                config[name].pin_memory = False
            if not persistent_workers:
                config[name].persistent_workers = False


def _last_validation(runner: Runner) -> dict[str, float]:
    scalars = runner.message_hub.log_scalars
    values = {key.removeprefix('val/'): buffer.current() for key, buffer in scalars.items() if key.startswith('val/')}
    return {key: float(value) for key, value in values.items() if key not in ('time', 'data_time')}
