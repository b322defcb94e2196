"""Which results a validation will give, and which of them are better when greater: known before training."""

from __future__ import annotations

import copy
import logging
import numbers
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.logging import print_log
from mmengine.runner import Runner

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.engine.calendar import is_validated
from cssa_mm.engine.calibration_hook import CalibrationHook
from cssa_mm.errors import ConfigError, nearest

GREATER = re.compile(r'(^|/)(mAP|CF1|OF1|AP/.*|(precision|recall|f1-score)(_.*)?)$')
RANKED = re.compile(r'(^|/)(mAP|AP/.*)$')  # calibration keeps the order of the scores of a class
LESS = re.compile(r'(^|/)((raw_)?(ECE|Brier)|loss)$')


def direction(name: str) -> str | None:
    """'greater' or 'less', whichever is better for a result of this name; None where its name does not tell."""
    if GREATER.search(name):
        return 'greater'
    if LESS.search(name):
        return 'less'
    folded = name.casefold()
    for rule, keys in (
        ('greater', CheckpointHook._default_greater_keys),
        ('less', CheckpointHook._default_less_keys),
    ):
        if any(key.casefold() in folded for key in keys):
            return rule
    return None


def made_up_samples(labels: np.ndarray) -> list[dict[str, Any]]:
    """Samples as the model predicts them before calibration, with made-up scores, for labels (M, C) in 1, 0, -1."""
    scores = np.random.default_rng(0).permutation(labels.size).reshape(labels.shape) + 0.5
    ema, student = torch.from_numpy(scores / labels.size).float(), torch.from_numpy(1 - scores / labels.size).float()
    truth = torch.from_numpy(labels.astype(np.float32))
    return [
        dict(
            image_id=f'made up {row}',
            sample_idx=row,
            is_labelled=True,
            img_path=f'made_up_{row}.jpg',
            num_classes=labels.shape[1],
            gt_score=truth[row],
            gt_label=(truth[row] == 1).nonzero()[:, 0],
            pred_score=ema[row],
            raw_score=ema[row].clone(),
            student_score=student[row],
            pred_label=(ema[row] >= 0.5).nonzero()[:, 0],
        )
        for row in range(len(labels))
    ]


def results_of(metrics: Sequence[BaseMetric], samples: Sequence[dict]) -> dict[str, Any] | None:
    """What metrics give for samples, tried on copies; None if one cannot be tried.

    Raises:
        ConfigError: two of them give a result of the same name.
    """
    found: dict[str, Any] = {}
    for metric in metrics:
        if isinstance(metric, DumpResults):  # gives no result, but writes a file
            continue
        try:
            with _silence():
                tried = copy.deepcopy(metric)
                tried.results.clear()
                tried.process(None, [dict(sample) for sample in samples])
                values = tried.compute_metrics(tried.results)
            prefixed = {f'{metric.prefix}/{name}' if metric.prefix else name: value for name, value in values.items()}
        # A metric of the user may need what is not there yet.
        except Exception:
            return None
        twice = next((name for name in prefixed if name in found), None)
        if twice is not None:
            raise ConfigError(
                f"val_evaluator: found two metrics that give '{twice}', expected names of their own; set prefix='...' "
                'in one of them'
            )
        found |= prefixed
    return found


def expected_results(runner: Runner) -> dict[str, Any] | None:
    """Names of the results that the first validation of a run will have, with made-up values; None if unknown."""
    dataset = runner.val_dataloader.dataset
    if not isinstance(dataset, SemiMultiLabelDataset):
        return None
    labels = dataset.labels
    # A positive and a negative of each class, where there is one: what is missing has no average precision.
    rows = {int(found.argmax()) for value in (1, 0) for found in (labels == value).T if found.any()}
    return results_of(runner.val_loop.evaluator.metrics, made_up_samples(labels[sorted(rows)]))


def check_monitored(runner: Runner) -> None:
    """Check what hooks and schedules look for in the results of a validation, and say what a best checkpoint is.

    Raises:
        ConfigError: there will be no such result, or its rule takes the worst for the best.
    """
    wanted = list(_wanted(runner))
    if not wanted:
        return
    if runner.val_loop is None or runner.train_loop.val_begin > runner.max_epochs:
        for where, name, _ in wanted:
            print_log(
                f"{where}='{name}': no epoch of this training is validated, so that it does nothing; validate, or "
                'take it out',
                'current',
                logging.WARNING,
            )
        return
    results = expected_results(runner)
    best = []
    for where, name, holder in wanted:
        name = _checked_name(where, name, holder, results)
        rule = _rule_of(holder, name)
        if rule is not None and direction(name) not in (None, rule):
            raise ConfigError(
                f"{where}: found '{name}' with rule='{rule}', expected rule='{direction(name)}', as '{name}' is better "
                f'when {direction(name)}'
            )
        best += [name] if isinstance(holder, CheckpointHook) else []
    if best:
        print_log(_what_is_best(runner, best), 'current')


def _what_is_best(runner: Runner, names: Sequence[str]) -> str:
    """What is in the checkpoint of the best epoch."""
    test = runner.cfg.get('test_dataloader')
    is_test = test is not None and runner.cfg.val_dataloader.dataset == test.dataset
    line = 'save_best: the epoch is chosen on the images of val_dataloader'
    line += ', which are those of test_dataloader: its test figures will be too good' if is_test else ''
    loop = runner.train_loop
    is_earlier = any(is_validated(loop, epoch) for epoch in range(1, runner.max_epochs))
    calibration = next((hook for hook in runner.hooks if isinstance(hook, CalibrationHook)), None)
    if calibration is None or calibration.rule == 'none' or not is_earlier:
        return line
    line += (
        '; calibration and thresholds are found after the last epoch: the best checkpoint of an earlier one has .5 for '
        'every class on raw scores'
    )
    moved = [name for name in names if not RANKED.search(name)]
    return line + (f', so that {", ".join(moved)} of the last epoch compares with no other' if moved else '')


def _wanted(runner: Runner) -> Iterator[tuple[str, str, Any]]:
    """(key, name, what reads it) of every result that is looked for."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            yield from (('default_hooks.checkpoint.save_best', name, hook) for name in hook.save_best or ())
        elif isinstance(hook, EarlyStoppingHook):
            yield f'{type(hook).__name__}.monitor', hook.monitor, hook
    built = runner.param_schedulers or []
    lists = built.values() if isinstance(built, Mapping) else [built]
    for scheduler in (scheduler for schedulers in lists for scheduler in schedulers):
        if getattr(scheduler, 'need_val_args', False):
            yield f'param_scheduler: {type(scheduler).__name__}.monitor', scheduler.monitor, scheduler


def _checked_name(where: str, name: str, holder: Any, results: Mapping[str, Any] | None) -> str:
    """The name, or what 'auto' stands for."""
    if results is None:
        return name
    numbers_ = [key for key, value in results.items() if _is_number(value)]
    is_auto = isinstance(holder, CheckpointHook) and name == 'auto'
    if is_auto and results:
        name = next(iter(results))
    if name not in numbers_:
        listed = 'a list, one value for each class' if name in results else f"'{name}'"
        raise ConfigError(
            f'{where}: found {listed}, which no validation will give as a number, expected one of '
            f'{", ".join(numbers_) or "none, as no metric gives any"}.{nearest(name, numbers_)}'
        )
    if is_auto:
        rule = direction(name)
        if rule is None and holder.rules == [None]:
            raise ConfigError(
                f"default_hooks.checkpoint.rule: found none for save_best='auto', which is '{name}', expected "
                "'greater' or 'less'"
            )
        # mmengine looks the first result up in these.
        keys = 'less_keys' if rule == 'less' else 'greater_keys'
        setattr(holder, keys, [*getattr(holder, keys), name])
    return name


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real | np.number) and not isinstance(value, bool)


def _rule_of(holder: Any, name: str) -> str | None:
    if isinstance(holder, CheckpointHook):
        position = holder.save_best.index(name) if name in holder.save_best else 0
        return holder.rules[position]
    return holder.rule


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what a trial logs and warns of to itself."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(disabled)
