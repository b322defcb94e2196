"""`cssa convert`: bring a checkpoint of an earlier format up to date."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.conversion import convert_checkpoint
from cssa_mm.cli.arguments import command_parser, run

DESCRIPTION = 'Write a checkpoint of an earlier format in the present one, so that it opens without its config.'
EXAMPLE = 'cssa convert work_dirs/cssa_demo/epoch_162.pth'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa convert`."""
    result = command_parser('convert', DESCRIPTION, EXAMPLE)
    result.add_argument('checkpoint', help='checkpoint file of an earlier format')
    result.add_argument('--out', help='file to write; NAME-format4.pth beside the old one by default')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa convert`; returns the exit status."""
    return run(parser(), _convert, arguments)


def _convert(options: argparse.Namespace) -> None:
    print(convert_checkpoint(options.checkpoint, out=options.out))
