"""Warns of pseudo-labels that have collapsed, and of unlabelled images that teach nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import Tensor

from cssa_mm.errors import require_whole_number
from cssa_mm.evaluation.pseudo_label_records import FILE, Record, read_records
from cssa_mm.semi.collapse import collapsed, labelled_rates, told
from cssa_mm.semi.pseudo_label_hook import PseudoLabelHook, bare_model

UNLABELLED = 'loss_unlabelled'


@HOOKS.register_module()
class CollapseHook(Hook):
    """Warns once of each class whose pseudo-labels have collapsed, and of a loss of the unlabelled images that is 0.

    A class has collapsed if none of its pseudo-labels is positive although labelled images lead to expect some, or if
    more than half of them are although they lead to expect far fewer. The epochs before a resume count.

    Args:
        epochs: for so many semi-supervised epochs in a row.

    Raises:
        ConfigError: it is no whole number from 1.
    """

    priority = 'LOW'  # after the pseudo-labels are made

    def __init__(self, epochs: int = 2) -> None:
        require_whole_number('default_hooks.collapse.epochs', epochs, 1)
        self.epochs = epochs
        self.rates: np.ndarray = np.empty(0)
        self.counts: dict[str, np.ndarray] = {}  # kind -> epochs in a row (C,)
        self.largest: Tensor | None = None  # loss of the unlabelled images in this epoch
        self.has_told = False

    def before_train(self, runner: Runner) -> None:
        """Count the epochs before a resume."""
        dataset = runner.train_dataloader.dataset
        self.rates = labelled_rates(dataset.labels[dataset.labelled_indices])
        path = Path(runner.work_dir, FILE)
        if is_main_process() and runner.iter and path.is_file() and path.stat().st_size:
            for record in read_records(runner.work_dir)[-self.epochs :]:
                self._count(record)

    def before_train_epoch(self, runner: Runner) -> None:
        """Look at the pseudo-labels of the epoch."""
        self.largest = None
        hook = _pseudo_labels(runner)
        record = None if hook is None or hook.settings.oracle else hook.record  # of rank 0 alone
        if record is None or record['epoch'] != runner.epoch + 1:
            return
        self._count(record)
        for kind, count in self.counts.items():
            classes = np.flatnonzero(count == self.epochs).tolist()
            if classes:
                print_log(told(kind, classes, record, self.rates, self.epochs), 'current', logging.WARNING)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Tensor] | None = None
    ) -> None:
        """Remember the largest loss of the unlabelled images."""
        loss = (outputs or {}).get(UNLABELLED)
        if loss is not None:
            loss = loss.detach().abs()
            self.largest = loss if self.largest is None else torch.maximum(self.largest, loss)

    def after_train_epoch(self, runner: Runner) -> None:
        """Warn, once, where the unlabelled images of an epoch have taught nothing."""
        if self.has_told or self.largest is None or float(self.largest) != 0:
            return
        objective, hook = bare_model(runner).objective, _pseudo_labels(runner)
        if objective.unlabelled_weight == 0:
            return  # as the config says
        self.has_told = True
        record = None if hook is None else hook.record
        if record is not None and record['masked_share'] == 1:
            cause = 'no cell has a pseudo-label: another default_hooks.pseudo_labels.policy masks fewer'
        elif record is not None and not any(record['labelled_positives']):
            cause = 'no class has labelled positives, so none is taught: label some'
        else:
            cause = (
                'the loss of every pseudo-label is cut off, or its weight is 0: look at model.loss.clip and '
                'default_hooks.pseudo_labels.policy'
            )
        print_log(
            f'{UNLABELLED}: found 0 in all steps of epoch {runner.epoch + 1}, so that the unlabelled images teach '
            f'nothing. Likely cause: {cause}',
            'current',
            logging.WARNING,
        )

    def _count(self, record: Record) -> None:
        for kind, is_so in collapsed(record, self.rates).items():
            before = self.counts.get(kind, np.zeros(len(is_so), int))
            self.counts[kind] = np.where(is_so, before + 1, 0)


def _pseudo_labels(runner: Runner) -> PseudoLabelHook | None:
    return next((hook for hook in runner.hooks if isinstance(hook, PseudoLabelHook)), None)
