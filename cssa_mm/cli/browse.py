"""`cssa browse`: draw training images in their weak and strong view, with their labels."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.browsing import browse
from cssa_mm.cli.arguments import add_config, add_tower, command_parser, overrides_of, run

EXAMPLE = 'cssa browse cssa_demo --num 8'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa browse`."""
    description = 'Draw training images in their weak and strong view, with what training knows of their labels.'
    result = command_parser('browse', description, EXAMPLE)
    add_config(result)
    add_tower(result)
    result.add_argument('--out', help='picture to write; work_dirs/NAME_OF_CONFIG/browse_data.png by default')
    result.add_argument('--num', type=int, default=12, help='images to show, half of them labelled')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa browse`; returns the exit status."""
    return run(parser(), _browse, arguments)


def _browse(options: argparse.Namespace) -> None:
    result = browse(
        config=options.config,
        out=options.out,
        num=options.num,
        data_root=options.data_root,
        overrides=overrides_of(options),
        tower=options.tower,
    )
    print(result.text())
