"""A training run as a report reads it: from its work directory, or from a runner that has just finished."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS

from cssa_mm.apis.config import load_config
from cssa_mm.apis.loading import load_model
from cssa_mm.apis.reporting.last_validation import LastValidationHook
from cssa_mm.apis.reporting.scalars import Scalars, read_scalars
from cssa_mm.apis.reporting.scoring import ScoredImages
from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.engine.config.data_parts import require_test_data
from cssa_mm.engine.latest import latest_checkpoint
from cssa_mm.errors import ConfigError, CSSAError
from cssa_mm.evaluation.held_out_scores import HeldOutScores, read_held_out
from cssa_mm.evaluation.pseudo_label_records import FILE, Record, read_records
from cssa_mm.models import CSSAClassifier
from cssa_mm.semi.pseudo_label_hook import bare_model
from cssa_mm.semi.statistics import check_same_classes

CONFIG = 'vis_data/config.py'
# A report needs no service, nor the package of one, which this machine may lack.
UNWATCHED: dict[str, Any] = dict(visualizer=None, vis_backends=None, live=[])


@dataclass(frozen=True)
class Run:
    """What a run left; a part that is not there is None or empty, and `missing` says why in one sentence.

    Attributes:
        title: name of the work directory.
        config: as it was trained.
        config_name: what its file was called; '' where that is not known.
        model: of its last checkpoint, in eval mode.
        checkpoint: name of the file.
        train, test: the data sets.
        scalars: steps and validations that it logged.
        records: its pseudo-labels by epoch.
        held_out: scores of labelled images by models that did not see their labels.
        tested: scores of the test images, where they are known already.
        missing: 'config', 'model', 'train', 'test', 'records' or 'held_out' -> why.
    """

    title: str
    config: Config | None
    config_name: str
    model: CSSAClassifier | None
    checkpoint: str
    train: SemiMultiLabelDataset | None
    test: SemiMultiLabelDataset | None
    scalars: Scalars
    records: list[Record]
    held_out: HeldOutScores | None
    missing: Mapping[str, str]
    tested: ScoredImages | None = None


def open_run(work_dir: str | os.PathLike, *, data_root: str | os.PathLike | None, device: str | None) -> Run:
    """Read a work directory.

    Args:
        work_dir: of a training, finished or not.
        data_root: directory of the data, if they were moved.
        device: 'cpu', 'cuda' or 'mps'; by default the best one that this machine has.

    Raises:
        ConfigError: it is no directory, or no training ever wrote into it.
    """
    folder = Path(work_dir).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"work_dir: found no folder '{work_dir}', expected that of a training; correct the path")
    starts = sorted(folder.glob(f'*/{CONFIG}'))
    checkpoint = latest_checkpoint(folder)
    if not starts and checkpoint is None:
        raise ConfigError(
            f"work_dir: found no training in '{work_dir}', expected a folder with its checkpoints and logs, such as "
            'work_dirs/cssa_demo; give that one'
        )
    init_default_scope('mmpretrain')
    attempts = _Attempts()
    trained = [path for path in starts if path.with_name('scalars.json').is_file()] or starts
    config = None
    if trained:
        config = attempts.value('config', lambda: load_config(trained[-1], data_root=data_root, overrides=UNWATCHED))
    else:
        attempts.missing['config'] = 'The logs of this run, which hold its config, are not in its work directory.'
    model = None
    if checkpoint is None:
        attempts.missing['model'] = 'This run has no checkpoint: it was stopped before it wrote one.'
    else:
        model = attempts.value('model', lambda: load_model(checkpoint, device=device))
    return Run(
        title=folder.resolve().name,
        config=config,
        config_name=_config_name(folder),
        model=model,
        checkpoint='' if checkpoint is None else checkpoint.name,
        train=_data_set(attempts, config, model, 'train'),
        test=_data_set(attempts, config, model, 'test'),
        **_left_in(folder, config, attempts),
    )


def finished_run(runner: Runner) -> Run:
    """The run of a runner that has just trained."""
    attempts = _Attempts()
    model, config = bare_model(runner), runner.cfg
    latest = runner.message_hub.get_info('last_ckpt')
    validated = runner.val_dataloader.dataset if validates_on_tests(runner) else None
    hook = next((hook for hook in runner.hooks if isinstance(hook, LastValidationHook)), None)
    folder = Path(runner.work_dir)
    return Run(
        title=folder.resolve().name,
        config=config,
        config_name=_config_name(folder),
        model=model,
        checkpoint='' if latest is None else Path(latest).name,
        train=runner.train_dataloader.dataset,
        test=validated if validated is not None else _data_set(attempts, config, model, 'test'),
        tested=None if validated is None or hook is None else hook.scored,
        **_left_in(folder, config, attempts),
    )


class _Attempts:
    """Values that may be missing, and why those that are."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def value(self, name: str, attempt: Callable[[], Any]) -> Any:
        try:
            return attempt()
        except CSSAError as error:
            self.missing[name] = ' '.join(str(error).split())
        return None


def _left_in(folder: Path, config: Config | None, attempts: _Attempts) -> dict[str, Any]:
    """The files of a work directory, and `missing`."""
    records: list[Record] = []
    if (folder / FILE).is_file() and (folder / FILE).stat().st_size:
        records = attempts.value('records', lambda: read_records(folder)) or []
    elif config is not None and not config.train_cfg.get('semi_epochs'):
        attempts.missing['records'] = 'This run has no semi-supervised epochs: it learned from labelled images alone.'
    else:
        attempts.missing['records'] = 'This run ended before its first semi-supervised epoch.'
    held_out = attempts.value('held_out', lambda: read_held_out(folder))
    if held_out is None:
        attempts.missing.setdefault(
            'held_out',
            'Nothing tells which labels are suspicious: the run ended early, or held out no labels (its log says why '
            'where it finds thresholds).',
        )
    return dict(scalars=read_scalars(folder), records=records, held_out=held_out, missing=attempts.missing)


def _data_set(
    attempts: _Attempts, config: Config | None, model: CSSAClassifier | None, part: str
) -> SemiMultiLabelDataset | None:
    if config is None:
        attempts.missing[part] = attempts.missing['config']
        return None

    def build() -> SemiMultiLabelDataset:
        if part == 'test':
            require_test_data(config)
        dataset = DATASETS.build(config[f'{part}_dataloader'].dataset)
        dataset.full_init()
        if model is not None:
            check_same_classes(model, dataset, f'{part}_dataloader.dataset')
        return dataset

    return attempts.value(part, build)


def validates_on_tests(runner: Runner) -> bool:
    """Whether the data set of the validation is that of the test."""
    loaders = [runner.cfg.get(f'{part}_dataloader') for part in ('val', 'test')]
    return runner.cfg.get('val_cfg') is not None and None not in loaders and loaders[0].dataset == loaders[1].dataset


def _config_name(folder: Path) -> str:
    """The name of the config, of which MMEngine leaves a copy beside the checkpoints."""
    copies = sorted(folder.glob('*.py'), key=lambda path: path.stat().st_mtime_ns)
    return copies[-1].stem if copies else ''
