"""`cssa doctor`: whether this machine can train."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.doctor import doctor
from cssa_mm.cli.arguments import add_device, command_parser, run

DESCRIPTION = (
    'Look at versions, device, disk, memory and threads, and train a tiny model for one step. A line each: OK, WARNING '
    '(a part will not work, or slowly) or PROBLEM (training will not work), with what to do. Exit status 1 after a '
    'PROBLEM.'
)
EXAMPLE = 'cssa doctor --device cpu'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa doctor`."""
    result = command_parser('doctor', DESCRIPTION, EXAMPLE)
    result.add_argument('--work-dir', default='.', help='folder that results would go to, by default this one')
    add_device(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa doctor`; returns the exit status."""
    return run(parser(), _doctor, arguments)


def _doctor(options: argparse.Namespace) -> int:
    found = doctor(device=options.device, folder=options.work_dir)
    print(found.text())
    return 0 if found.is_well else 1
