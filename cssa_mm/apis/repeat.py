"""The rows of the quickstart over several seeds: means, standard errors and paired differences."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cssa_mm.apis.quickstart import ORACLE, STAGES, run_stage
from cssa_mm.errors import ConfigError
from cssa_mm.evaluation.text_table import aligned
from cssa_mm.visualization.curves import validation_curve

ROWS = (*STAGES, ORACLE)


def parser(description: str) -> argparse.ArgumentParser:
    """Arguments of tools/repeat.py."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3, 4, 5], help='of split, prompts and order')
    result.add_argument('--rows', nargs='+', default=[row.key for row in ROWS], help='which rows to run')
    result.add_argument('--work-dir', default='work_dirs/repeat', help='directory of all results')
    result.add_argument('--data-root', default='data/icons', help='directory of the demo scenes')
    result.add_argument('--cfg-options', nargs='+', default=[], help='overrides for every run')
    return result


def repeat(args: argparse.Namespace) -> dict:
    """Run rows and seeds that have not been run yet; prints and returns the statistics of the mAP."""
    rows = [row for row in ROWS if row.key in args.rows]
    if len(rows) < len(args.rows):
        raise ConfigError(f'--rows: found {args.rows}, expected some of {[row.key for row in ROWS]}')
    work_dir = Path(args.work_dir)
    scores: dict[str, list[float]] = {row.key: [] for row in rows}
    for seed in args.seeds:
        for row in rows:
            options = [f'randomness.seed={seed}', f'train_dataloader.dataset.split.seed={seed}', *args.cfg_options]
            folder = work_dir / f'{row.key}-{seed}'
            scores[row.key].append(run_stage(row, folder, args.data_root, options)['mAP'])
    statistics = dict(seeds=args.seeds, mAP=scores, differences={})
    table = [('mAP', 'mean', 's.e.', *(f'seed {seed}' for seed in args.seeds))]
    for row in rows:
        table.append((row.title, *_mean_and_error(scores[row.key]), *(f'{value:.1f}' for value in scores[row.key])))
    for first, second in zip(rows, rows[1:], strict=False):
        difference = np.subtract(scores[second.key], scores[first.key])
        name = f'{second.key} - {first.key}'
        statistics['differences'][name] = difference.tolist()
        table.append((name, *_mean_and_error(difference), *(f'{value:+.1f}' for value in difference)))
    print(f'\n{aligned(table)}')
    _print_best_step(work_dir, args.seeds, args.rows)
    (work_dir / 'statistics.json').write_text(json.dumps(statistics, indent=2) + '\n')
    return statistics


def _mean_and_error(values: list[float]) -> tuple[str, str]:
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else float('nan')
    return f'{np.mean(values):.2f}', f'{error:.2f}'


def _print_best_step(work_dir: Path, seeds: list[int], rows: list[str]) -> None:
    """The step at which labelled-only is best on this test set, on the average of the seeds."""
    if 'labelled_only' not in rows:
        return
    curves = [validation_curve(work_dir / f'labelled_only-{seed}') for seed in seeds]
    steps = [step for step, _ in curves[0]]
    means = np.mean([[value for _, value in curve] for curve in curves], axis=0)
    print('\nlabelled-only by step: ' + ', '.join(f'{s}: {m:.1f}' for s, m in zip(steps, means, strict=True)))
