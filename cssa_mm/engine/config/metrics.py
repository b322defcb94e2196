"""mmpretrain's metrics in `val_evaluator` and `test_evaluator`: which take part, and what they make of our labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmpretrain.evaluation import AveragePrecision, MultiLabelMetric
from mmpretrain.registry import METRICS

from cssa_mm.datasets import SemiMultiLabelDataset
from cssa_mm.engine.monitored import made_up_samples, results_of
from cssa_mm.errors import ConfigError
from cssa_mm.names import component_of

# They read the objects that VOC calls difficult, for which our samples have no field.
VOC_METRICS = {'VOCMultiLabelMetric': 'MultiLabelMetric', 'VOCAveragePrecision': 'AveragePrecision'}


def check_metrics(config: Config) -> None:
    """Refuse metrics that cannot read several labels an image, before anything is built.

    Raises:
        ConfigError: a metric does not fit.
    """
    for name in ('val_evaluator', 'test_evaluator'):
        for path, metric in _metric_configs(config.get(name), name):
            check_metric(metric, path)


def check_parts(config: Config) -> None:
    """Refuse half a training, validation or test.

    Raises:
        ConfigError: of loader, loop and metrics or optimiser some are there, and some are not.
    """
    for part in ('train', 'val', 'test'):
        keys = [f'{part}_dataloader', f'{part}_cfg', 'optim_wrapper' if part == 'train' else f'{part}_evaluator']
        missing = [key for key in keys if config.get(key) is None]
        if 0 < len(missing) < len(keys):
            raise ConfigError(
                f'{missing[0]}: found None beside {" and ".join(key for key in keys if key not in missing)}, expected '
                f'all three of {", ".join(keys)} or none; set the others to None'
                f'{", or train with --no-validate" if part == "val" else ""}'
            )


def _metric_configs(evaluator: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(evaluator, Mapping) and 'metrics' in evaluator:
        yield from _metric_configs(evaluator['metrics'], f'{path}.metrics')
    elif isinstance(evaluator, Mapping):
        yield path, evaluator
    elif isinstance(evaluator, Sequence) and not isinstance(evaluator, str):
        for index, metric in enumerate(evaluator):
            yield from _metric_configs(metric, f'{path}[{index}]')
    elif evaluator is not None and not isinstance(evaluator, BaseMetric):
        raise ConfigError(
            f"{path}: found {evaluator!r}, expected a metric such as dict(type='CSSAMetric'), or a list of these"
        )


def check_metric(metric: Mapping[str, Any], path: str) -> None:
    """Refuse a metric that cannot read several labels an image.

    Args:
        metric: its options.
        path: the key, or the argument, that messages name.

    Raises:
        ConfigError: it does not fit.
    """
    kind = metric.get('type')
    if kind is None:
        raise ConfigError(f"{path}: found a metric without type, expected dict(type='CSSAMetric') or another metric")
    found = component_of(kind, METRICS)
    name = getattr(found, '__name__', str(kind))
    if name in VOC_METRICS:
        raise ConfigError(
            f"{path}: found {name}, which reads VOC's difficult objects, expected {VOC_METRICS[name]}: what only "
            'difficult objects show is unknown here and left out, if the data set has ignore_difficult=True'
        )
    is_theirs = str(getattr(found, '__module__', '')).startswith('mmpretrain.')
    if is_theirs and not issubclass(found, MultiLabelMetric | AveragePrecision):
        raise ConfigError(
            f'{path}: found {name}, which does not read several labels an image, expected CSSAMetric, '
            'MultiLabelMetric (thr or topk) or AveragePrecision'
        )
    if is_theirs and 'threshold' in metric:
        raise ConfigError(
            f"{path}.threshold: found a key of CSSAMetric beside type='{name}', expected none; an inherited key stays "
            f"unless {path} is a list, or dict(_delete_=True, type='{name}')"
        )


def check_labels(metrics: Sequence[BaseMetric], dataset: object, where: str) -> None:
    """Compare what metrics read with the labels that a data set of ours has.

    Args:
        metrics: of an evaluator.
        dataset: that it evaluates.
        where: the key of the evaluator.

    Raises:
        ConfigError: a metric fails on these labels.
    """
    if not isinstance(dataset, SemiMultiLabelDataset):
        return
    theirs = [metric for metric in metrics if isinstance(metric, MultiLabelMetric | AveragePrecision)]
    names, labels = dataset.class_names, np.asarray(dataset.labels)
    precise = [metric for metric in theirs if isinstance(metric, AveragePrecision)]
    unknown = [name for name, column in zip(names, labels.T, strict=True) if not (column >= 0).any()]
    if precise and unknown:
        raise ConfigError(
            f'{where}: found AveragePrecision, which fails where a class has no known label, as {len(unknown)} of '
            f'{len(names)} have none here ({_short(unknown)}), expected CSSAMetric, which leaves them out'
        )
    absent = [name for name, column in zip(names, labels.T, strict=True) if not (column == 1).any()]
    averaged = sorted({type(metric).__name__ for metric in theirs if metric.average == 'macro'})
    if averaged and absent:
        print_log(
            f'{where}: the means of {" and ".join(averaged)} count {len(absent)} of {len(names)} classes without a '
            f'positive as 0 ({_short(absent)}); those of CSSAMetric leave them out',
            'current',
            logging.WARNING,
        )
    if (labels < 0).any():
        for metric in metrics:
            if not type(metric).__module__.startswith(('mmpretrain.', 'cssa_mm.', 'mmengine.')):
                _warn_of_unknown_cells(metric, len(names), where)


def _warn_of_unknown_cells(metric: BaseMetric, num_classes: int, where: str) -> None:
    """Try a metric of the user with unknown cells and with negatives in their place."""
    labels = np.arange(12 * num_classes).reshape(12, num_classes) % 4 % 3
    labels[labels == 2] = -1
    with_unknown = results_of([metric], made_up_samples(labels))
    with_negatives = results_of([metric], made_up_samples(labels.clip(min=0)))
    if with_unknown is not None and with_unknown == with_negatives:
        print_log(
            f'{where}: {type(metric).__name__} counts unknown labels (gt_score -1) as negatives, of which the images '
            'have some; its figures are right for fully labelled images only',
            'current',
            logging.WARNING,
        )


def _short(names: Sequence[str]) -> str:
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
