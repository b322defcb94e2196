"""`cssa study`: run a named study over several seeds: a table with paired differences, a CSV and a plot."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.cli.arguments import add_tower, command_parser, run
from cssa_mm.cli.overrides import Overrides
from cssa_mm.studies.jobs import FEATURES, run_study
from cssa_mm.studies.spec import known_studies

DESCRIPTION = (
    'Run a named study over several seeds: a table with standard errors and paired differences, a CSV and a plot. The '
    'same command goes on from the runs that are done. Exit status 1: some runs failed, the others are done.'
)
EXAMPLE = "cssa study ablation --seeds 1 2 3 --rows cssa 'no_*' --validation 0.3"


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa study`."""
    result = command_parser('study', DESCRIPTION, EXAMPLE)
    result.add_argument('study', help=f'one of {", ".join(known_studies())}, or a Python file')
    result.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3, 4, 5], help='of split, prompts and order')
    result.add_argument(
        '--jobs', type=int, default=1, help='runs at a time, one thread each; they take the GPUs in turn'
    )
    result.add_argument('--rows', nargs='+', help="which rows to run, all by default; '*' stands for anything")
    result.add_argument('--config', help="config file in place of the study's")
    result.add_argument('--data-root', help='directory of the data')
    add_tower(result)
    result.add_argument(
        '--validation',
        type=float,
        metavar='SHARE',
        help='test on this share of the training images, which no run trains on: to choose settings; the test set is '
        'left alone',
    )
    result.add_argument('--work-dir', help='directory of all results; work_dirs/studies/STUDY by default')
    result.add_argument('--features', default=FEATURES, help='directory of the frozen features, for all studies')
    result.add_argument(
        '--keep-results', action='store_true', help='keep results of other versions of the code; the report says so'
    )
    result.add_argument('--cfg-options', nargs='+', action=Overrides, default={}, help='overrides for every run')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa study`; returns the exit status."""
    return run(parser(), _study, arguments)


def _study(options: argparse.Namespace) -> int:
    summary = run_study(
        study=options.study,
        seeds=options.seeds,
        jobs=options.jobs,
        rows=options.rows,
        config=options.config,
        data_root=options.data_root,
        validation=options.validation,
        work_dir=options.work_dir,
        features=options.features,
        overrides=options.cfg_options,
        tower=options.tower,
        keep_results=options.keep_results,
    )
    return 1 if summary['failures'] else 0
