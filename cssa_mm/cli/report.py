"""`cssa report`: one page of a training run, or of several side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.reporting.report import report
from cssa_mm.cli.arguments import add_device, command_parser, run

DESCRIPTION = (
    'Write report.html into the work directory of a training: what it reached for each class, images it gets wrong, '
    'labels that may be wrong, curves and settings. The page is one file that needs no network. Several work '
    'directories are laid side by side.'
)
EXAMPLE = 'cssa report work_dirs/cssa_demo work_dirs/cssa_plus_demo --out comparison.html'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa report`."""
    result = command_parser('report', DESCRIPTION, EXAMPLE)
    result.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='work directory of a training run')
    result.add_argument(
        '--out',
        help='file to write; report.html in the work directory by default, of several comparison.html in the first',
    )
    result.add_argument('--data-root', help='directory of the data, if they are elsewhere than the run found them')
    add_device(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa report`; returns the exit status."""
    return run(parser(), _report, arguments)


def _report(options: argparse.Namespace) -> None:
    result = report(work_dirs=options.work_dirs, out=options.out, data_root=options.data_root, device=options.device)
    print(result.text())
