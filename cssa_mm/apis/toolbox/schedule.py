"""`visualization/vis_scheduler`: the rates of all steps of both phases, as the train loop would set them.

The tool stands in for the loader by a list of equally long epochs; here the real sampler and the real loop run, over
images that are only counted and a model that learns nothing.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS
from torch.utils.data import Dataset

from cssa_mm.apis.config import load_config
from cssa_mm.apis.toolbox.opening import leave_log
from cssa_mm.engine.runner import CSSARunner
from cssa_mm.errors import ConfigError, CSSAError
from cssa_mm.visualization.rate_figure import draw_rates
from cssa_mm.visualization.style import new_figure, save_figure

NAMES = dict(lr='Learning Rate', momentum='Momentum', wd='Weight Decay')


class CountedImages(Dataset):
    """The training images as the sampler knows them: how many are labelled, and how many are not."""

    def __init__(self, labelled: int, unlabelled: int) -> None:
        self.labelled_indices = np.arange(labelled)
        self.unlabelled_indices = labelled + np.arange(unlabelled)
        self.metainfo: dict = {}

    def __len__(self) -> int:
        return len(self.labelled_indices) + len(self.unlabelled_indices)

    def __getitem__(self, key: object) -> dict:
        return dict(inputs=None, data_samples=None)

    def __getitems__(self, keys: object) -> list[dict]:
        return [self[0]]  # a batch of thousands is counted as fast as one image


class LearningNothing(BaseModel):
    """One weight without a gradient, which the optimiser steps over."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Any = None, data_samples: Any = None, mode: str = 'tensor') -> torch.Tensor:
        return 0 * self.weight.sum()

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, torch.Tensor]:
        loss = self()
        optim_wrapper.update_params(loss)
        return dict(loss=loss.detach())


@dataclass
class RecordHook(Hook):
    """Records what each step of the optimiser is made with: the rates of its first group of parameters."""

    rates: dict[str, list[float]] = field(default_factory=lambda: dict(lr=[], momentum=[], wd=[]))
    epoch_steps: list[int] = field(default_factory=list)

    def before_train_epoch(self, runner: Any) -> None:
        self.epoch_steps.append(0)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.epoch_steps[-1] += 1
        self.rates['lr'].append(runner.optim_wrapper.get_lr()['lr'][0])
        self.rates['momentum'].append(runner.optim_wrapper.get_momentum()['momentum'][0])
        self.rates['wd'].append(runner.optim_wrapper.param_groups[0]['weight_decay'])


def run(tool: ModuleType) -> str:
    """The same arguments as the tool; `--ngpus` changes nothing, as a batch is that of all processes."""
    options = tool.parse_args()
    if options.save_path and not options.save_path.absolute().parent.is_dir():
        raise ConfigError(
            f"--save-path: found '{options.save_path}', whose folder does not exist, expected one; make it"
        )
    config = load_config(options.config, overrides=options.cfg_options)
    labelled, unlabelled = image_counts(config, options.dataset_size)
    record = simulated(config, labelled, unlabelled, options.log_level)
    warmup_epochs, steps = config.train_cfg.get('warmup_epochs', 0), record.epoch_steps
    width, height = (int(side) for side in (options.window_size or '12*7').split('*'))
    figure = (
        new_figure(width, height) if options.not_show else plt.figure(figsize=(width, height), layout='constrained')
    )
    name = NAMES[options.parameter]
    title = options.title or f'{options.config.rsplit("/", 1)[-1]} {name} curve'
    draw_rates(figure, record.rates[options.parameter], steps, warmup_epochs, name, title)
    lines = [
        f'Images: {labelled + unlabelled}, {labelled} of them labelled',
        f'Batch size, of all processes together: {config.train_dataloader.batch_size}',
        f'Optimiser steps: {sum(steps)} = {sum(steps[:warmup_epochs])} in {warmup_epochs} epochs of warm-up + '
        f'{sum(steps[warmup_epochs:])} in {len(steps) - warmup_epochs} semi-supervised epochs',
    ]
    if config.optim_wrapper.get('paramwise_cfg'):
        lines.append('optim_wrapper.paramwise_cfg: the rates of its parameters are multiples of these')
    if 'ReduceOnPlateau' in str(config.get('param_scheduler')):
        lines.append('param_scheduler: what ReduceOnPlateau does depends on validations, and is not shown')
    if config.get('custom_hooks'):
        lines.append('custom_hooks: not run here; if one of them sets rates, the picture does not show it')
    if options.save_path:
        lines.append(f'The {name} graph is saved at {save_figure(figure, options.save_path)}')
    if not options.not_show:
        plt.show()
        plt.close(figure)
    return '\n'.join(lines)


def image_counts(config: Config, dataset_size: int | None) -> tuple[int, int]:
    """Labelled and unlabelled training images: those of the config, or as many in all, labelled in the same share.

    Raises:
        ConfigError: a size is given, but neither the data nor a split tells the share.
        DataError: no size is given, and the data can't be read.
    """
    init_default_scope('mmpretrain')
    options = config.train_dataloader.dataset
    if dataset_size is not None and dataset_size < 1:
        raise ConfigError(f'--dataset-size: found {dataset_size}, expected a number of images from 1')
    try:
        dataset: Any = DATASETS.build(options)
        labelled, unlabelled = len(dataset.labelled_indices), len(dataset.unlabelled_indices)
    except CSSAError:
        split = options.get('split')
        share = split.get('proportion') if isinstance(split, dict) else None
        if dataset_size is None:
            raise
        if share is None:
            raise ConfigError(
                '--dataset-size: found no data to tell which share of the images is labelled, expected some, or '
                'a share: --cfg-options train_dataloader.dataset.split.proportion=0.05'
            ) from None
        labelled, unlabelled = share, 1 - share
        print_log(f'The data of the config was not found: {share:g} of the images count as labelled', 'current')
    if dataset_size is None:
        return labelled, unlabelled
    count = min(dataset_size, max(1, round(dataset_size * labelled / (labelled + unlabelled))))
    return count, dataset_size - count


def simulated(config: Config, labelled: int, unlabelled: int, log_level: str = 'WARNING') -> RecordHook:
    """Run the train loop of a config over images that are only counted, with a model that learns nothing."""
    loader = dict(
        config.train_dataloader,
        dataset=CountedImages(labelled, unlabelled),
        num_workers=0,
        persistent_workers=False,
        pin_memory=False,
        collate_fn=dict(type='pseudo_collate'),
    )
    optimiser = dict(config.optim_wrapper)
    if optimiser.get('type') == 'AmpOptimWrapper':  # which a machine without GPU has not
        optimiser = {key: value for key, value in optimiser.items() if key not in ('loss_scale', 'dtype', 'use_fsdp')}
        optimiser['type'] = 'OptimWrapper'
    record = RecordHook()
    unused = dict.fromkeys(('runtime_info', 'timer', 'logger', 'checkpoint', 'sampler_seed'))
    hook = (config.get('default_hooks') or {}).get('param_scheduler') or dict(type='ParamSchedulerHook')
    with tempfile.TemporaryDirectory() as folder:
        runner = CSSARunner(
            model=LearningNothing(),
            work_dir=folder,
            train_dataloader=loader,
            train_cfg=config.train_cfg,
            optim_wrapper=optimiser,
            param_scheduler=config.get('param_scheduler'),
            default_scope='mmpretrain',
            default_hooks=unused | dict(param_scheduler=hook, record=record),
            randomness=dict(seed=0),
            log_level=log_level,
            experiment_name=f'rates_{id(record)}',
        )
        runner.train()
        leave_log(runner.logger)
    return record
