"""`cssa replay`: compute a step again that was not finite."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.replaying import replay
from cssa_mm.cli.arguments import add_device, command_parser, run

DESCRIPTION = (
    'Compute the losses and gradients of a step again that were NaN or infinite, from the file that the training '
    'wrote, and say what is not finite. Exit status 1: the step is finite here.'
)
EXAMPLE = 'cssa replay work_dirs/cssa_demo/non_finite_step_17.pth'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa replay`."""
    result = command_parser('replay', DESCRIPTION, EXAMPLE)
    result.add_argument('file', help='non_finite_step_N.pth in the work directory of the training')
    result.add_argument('--tower', metavar='FILE', help='new path of the weights of the tower, if they were moved')
    add_device(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa replay`; returns the exit status."""
    return run(parser(), _replay, arguments)


def _replay(options: argparse.Namespace) -> int:
    found = replay(options.file, tower=options.tower, device=options.device)
    print(found.text())
    return 0 if found.is_reproduced else 1
