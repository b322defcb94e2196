"""`cssa reproduce`: the paper's twelve settings on the full data sets, and one table of results."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.cli.arguments import add_overrides, add_tower, command_parser, run
from cssa_mm.studies.full_sets import DATA, ROOTS, STUDY, TABLE, reproduce
from cssa_mm.studies.jobs import FEATURES

DESCRIPTION = (
    'Run zero-shot, labelled-only, CSSA and cssa_plus on COCO, VOC and NUS-WIDE with 5, 10, 15 and 20 % labelled, and '
    f'write their mAP, CF1 and OF1 into {TABLE}. A data set that is not there is left out, and the table says what is '
    'missing. The same command goes on from the runs that are done. Exit status 1: some runs failed.'
)
EXAMPLE = 'cssa reproduce --data-root-voc data/VOC2012 --seeds 1 2 3 --jobs 4'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa reproduce`."""
    result = command_parser('reproduce', DESCRIPTION, EXAMPLE)
    for name, title in DATA.items():
        result.add_argument(f'--data-root-{name}', default=ROOTS[name], help=f'folder of {title} (%(default)s)')
    add_tower(result)
    result.add_argument('--seeds', type=int, nargs='+', default=[1], help='of split, prompts and order')
    result.add_argument('--jobs', type=int, help='runs at a time, which take the GPUs in turn; one a GPU by default')
    result.add_argument('--work-dir', default=f'work_dirs/{STUDY}', help='folder of the table and all results')
    result.add_argument('--features', default=FEATURES, help='folder of the frozen features')
    result.add_argument('--keep-results', action='store_true', help='keep results of other versions of the code')
    add_overrides(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa reproduce`; returns the exit status."""
    return run(parser(), _reproduce, arguments)


def _reproduce(options: argparse.Namespace) -> int:
    found = reproduce(
        data_roots={name: getattr(options, f'data_root_{name}') for name in DATA},
        seeds=options.seeds,
        jobs=options.jobs,
        tower=options.tower,
        work_dir=options.work_dir,
        features=options.features,
        overrides=options.cfg_options,
        keep_results=options.keep_results,
    )
    print(f'\n{found["table"].read_text("utf-8")}\ntable: {found["table"]}')
    return 1 if found['failures'] else 0
