"""Test a model on the test data of a config."""

from __future__ import annotations

import os
from collections.abc import Mapping

import mmengine
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults

from cssa_mm.apis.config import is_photo_folder, load_config
from cssa_mm.apis.training import build_runner, set_loaders, trained_tower, work_dir_of
from cssa_mm.apis.untrained import start_untrained
from cssa_mm.engine.checkpoints import read_checkpoint
from cssa_mm.engine.config.data_parts import require_test_data
from cssa_mm.engine.config.test_time import augment_tests
from cssa_mm.errors import ConfigError
from cssa_mm.files import replacing
from cssa_mm.semi.pseudo_label_hook import bare_model

# The endings of `out`, by what it holds.
SUFFIXES = {'metrics': ('.json', '.yaml', '.yml', '.pkl', '.pickle'), 'pred': ('.pkl', '.pickle')}

BACKBONE = 'model.backbone'


def test(
    *,
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    overrides: Mapping[str, object] | None = None,
    tower: str | os.PathLike | None = None,
    work_dir: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    out_item: str | None = None,
    show: bool = False,
    show_dir: str | os.PathLike | None = None,
    interval: int = 1,
    wait_time: float = 2.0,
    device: str | None = None,
    amp: bool = False,
    tta: bool = False,
    pin_memory: bool = True,
    launcher: str = 'none',
) -> dict[str, float]:
    """Test a model on the test data of a config.

    Args:
        config: a config file, or a shipped config by its name.
        checkpoint: a checkpoint of a training; None tests the model as it starts, which is zero-shot CLIP where the
            prompts start from words: with neighbours if the config has them and no evidence.
        data_root: directory of the data.
        overrides: dotted key -> value, as `--cfg-options` takes them.
        tower: the tower in place of the config's: `NAME:TAG`, `NAME:PATH` (see `load_config`). Where a folder of photos
            stands for the config, which names no tower, that of the checkpoint is the default.
        work_dir: directory of the log; `work_dirs/NAME_OF_CONFIG` by default.
        out: file for the predictions (.pkl) or metrics (.json, .pkl).
        out_item: 'pred' (default) or 'metrics': what `out` holds.
        show: show the predictions in a window.
        show_dir: directory for pictures of the views, with the labels that reach their thresholds.
        interval: show every n-th image.
        wait_time: seconds that a window stays open.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.
        amp: automatic mixed precision (CUDA).
        tta: test-time augmentation: average the views of the config's `tta_pipeline` by its `tta_model`.
        pin_memory: False switches pinned memory off.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi', as in mmpretrain.

    Returns:
        Name of the metric -> value in per cent, e.g. `ema/mAP`.

    Raises:
        ConfigError: a key or component of the config is unknown, or `out` cannot hold what is asked for.
        DataError: images, annotations or class names are missing or don't fit.
        CheckpointError: the checkpoint is missing or was made for another model.

    Examples:
        >>> import cssa_mm
        >>> cssa_mm.test(config='cssa_demo')['ema/mAP']  # doctest: +SKIP
        47.9
    """
    _check_out(out, out_item)
    trained_with = None
    if tower is None and is_photo_folder(config) and not any(key.startswith(BACKBONE) for key in overrides or ()):
        trained_with = _tower_of(checkpoint)
    settings = load_config(config, overrides=overrides, data_root=data_root, tower=tower or trained_with)
    require_test_data(settings)
    settings.load_from = None if checkpoint is None else os.fspath(checkpoint)
    settings.resume = False
    if device is not None:
        settings.device = device
    if amp:
        settings.test_cfg.fp16 = True
    if show or show_dir:
        shown = dict(show=show, wait_time=wait_time, out_dir=show_dir and os.fspath(show_dir), interval=interval)
        hook = settings.default_hooks.get('visualization') or dict(type='LabelPictureHook')
        settings.default_hooks.visualization = dict(hook, enable=True, **shown)
    if tta:
        augment_tests(settings)
    set_loaders(settings, pin_memory, persistent_workers=True)
    runner = build_runner(settings, work_dir_of(settings, work_dir), launcher)
    if trained_with:
        runner.logger.info(f'Tower: {trained_with["model_name"]}, which the checkpoint was trained with')
    if out and out_item != 'metrics':
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=os.fspath(out)))
    if checkpoint is None:
        start_untrained(bare_model(runner), runner.cfg, runner.hooks)
    metrics = runner.test()
    if out and out_item == 'metrics' and is_main_process():
        with replacing(out) as partial:
            mmengine.dump(metrics, str(partial))
    return metrics


def _tower_of(checkpoint: str | os.PathLike | None) -> dict[str, str | None] | None:
    """The options of the tower that a checkpoint was trained with; None if it does not tell."""
    tower = None if checkpoint is None else trained_tower(read_checkpoint(os.fspath(checkpoint)))
    return None if tower is None else {key: tower[key] for key in ('model_name', 'pretrained', 'config_dir')}


def _check_out(out: str | os.PathLike | None, out_item: str | None) -> None:
    """Refuse, before the test, an `out` that could not be written after it."""
    if out_item and not out:
        raise ConfigError('--out-item: found no --out, expected the file to write to; add it')
    item = out_item or 'pred'
    if out and not os.fspath(out).endswith(SUFFIXES[item]):
        other = '; metrics go into .json with --out-item metrics' if item == 'pred' else ''
        raise ConfigError(f"--out: found '{out}', expected a name that ends with {' or '.join(SUFFIXES[item])}{other}")
