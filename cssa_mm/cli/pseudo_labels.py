"""`cssa pseudo-labels`: how good a run's pseudo-labels are, by class and epoch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.pseudo_labels import show_pseudo_labels
from cssa_mm.cli.arguments import command_parser, run

EXAMPLE = 'cssa pseudo-labels work_dirs/cssa_demo'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa pseudo-labels`."""
    description = "Show how good a run's pseudo-labels are: a table of its last epoch, and a picture of all epochs."
    result = command_parser('pseudo-labels', description, EXAMPLE)
    result.add_argument('work_dir', help='work directory of a training run')
    result.add_argument('--out', help='picture to write; pseudo_labels.png in the work directory by default')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa pseudo-labels`; returns the exit status."""
    return run(parser(), _pseudo_labels, arguments)


def _pseudo_labels(options: argparse.Namespace) -> None:
    print(show_pseudo_labels(work_dir=options.work_dir, out=options.out).text())
