"""`cssa quickstart`: zero-shot, labelled-only and CSSA on the embedded demo; a table, a picture, a summary."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.cli.arguments import add_overrides, command_parser, run
from cssa_mm.demo.quickstart import quickstart

DESCRIPTION = 'Train and compare zero-shot CLIP, labelled-only and CSSA on the embedded demo; finished rows are reused.'
EXAMPLE = 'cssa quickstart --work-dir work_dirs/quickstart'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa quickstart`."""
    result = command_parser('quickstart', DESCRIPTION, EXAMPLE)
    result.add_argument('--work-dir', default='work_dirs/quickstart', help='directory of all results')
    result.add_argument('--data-root', default='data/icons', help='directory of the demo scenes')
    add_overrides(result)
    result.add_argument('--started', type=float, help='when the command began, in seconds since the epoch')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa quickstart`; returns the exit status."""
    return run(parser(), _quickstart, arguments)


def _quickstart(options: argparse.Namespace) -> None:
    quickstart(
        work_dir=options.work_dir,
        data_root=options.data_root,
        overrides=options.cfg_options,
        started=options.started,
    )
