"""`analysis_tools/analyze_logs`: curves and times of a log whose epochs differ in length.

The tool places steps by epochs of one length, knows only what the first line of the log holds, which is one of the
warm-up, and leaves out the first line of each epoch, which may be its only one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from cssa_mm.errors import ConfigError, nearest

PLACES = ('step', 'epoch', 'iter')


def run(tool: ModuleType) -> None:
    """Run the tool with curves over optimiser steps, and times of the epochs that were logged.

    Raises:
        ConfigError: a log is missing, or is not the one that holds numbers.
    """
    for path in tool.parse_args().json_logs:
        if not path.endswith('.json') or not Path(path).is_file():
            raise ConfigError(
                f"json_logs: found {'' if Path(path).exists() else 'no '}'{path}', expected the numbers of a training: "
                'WORK_DIR/TIME/vis_data/scalars.json'
            )
    tool.plot_curve_helper = draw_curves  # type: ignore[attr-defined]
    tool.cal_train_time = tell_times  # type: ignore[attr-defined]
    tool.main()


def draw_curves(logs: Sequence[Mapping], metrics: Sequence[str], options: Any, legend: Sequence[str]) -> None:
    """Draw each metric of each log: what training logs over its steps, what a validation does over its epochs."""
    units, labels = set(), iter(legend)
    for path, log in zip(options.json_logs, logs, strict=True):
        for metric in metrics:
            lines, unit = lines_of(log, metric, path)
            plt.plot(
                [line['step'] for line in lines], [line[metric] for line in lines], label=next(labels), linewidth=0.75,
                marker='.' if len(lines) < 50 else None,
            )  # fmt: skip
            units.add(unit)
            print(f'plot curve of {path}, metric is {metric}')
    plt.xlabel(' / '.join(sorted(units)))
    plt.legend()


def lines_of(log: Mapping, metric: str, path: str) -> tuple[list[Mapping], str]:
    """The lines of a log that hold a metric, and what their steps count.

    Raises:
        ConfigError: none does.
    """
    for phase in ('val', 'train'):
        lines = [line for line in log[phase] if metric in line]
        if lines:
            return lines, 'Epochs' if phase == 'val' and any('epoch' in line for line in log['train']) else 'Iters'
    known = sorted({key for phase in ('train', 'val') for line in log[phase] for key in line} - set(PLACES))
    raise ConfigError(
        f"--keys: found '{metric}', expected one that {path} holds: {', '.join(known)}.{nearest(metric, known)}"
    )


def tell_times(logs: Sequence[Mapping], options: Any) -> None:
    """Print the mean time of a step, and of the steps of the slowest and the fastest epoch that were logged."""
    for path, log in zip(options.json_logs, logs, strict=True):
        lines = [line for line in log['train'] if 'time' in line]
        if not lines:
            raise ConfigError(f'{path}: found no line of a training, expected the vis_data/scalars.json of one')
        print(f'{"-" * 5}Analyze train time of {path}{"-" * 5}')
        means = {}
        for epoch, group in groupby(lines, lambda line: line.get('epoch')):
            times = [line['time'] for line in group]
            means[epoch] = float(np.mean(times if options.include_outliers or len(times) == 1 else times[1:]))
        if None not in means:
            slowest, fastest = max(means, key=lambda epoch: means[epoch]), min(means, key=lambda epoch: means[epoch])
            print(f'slowest epoch {slowest}, average time is {means[slowest]:.4f}')
            print(f'fastest epoch {fastest}, average time is {means[fastest]:.4f}')
            print(f'time std over epochs is {np.std(list(means.values())):.4f}')
        print(f'average iter time: {np.mean([line["time"] for line in lines]):.4f} s/iter\n')
