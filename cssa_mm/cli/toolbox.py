"""`cssa toolbox`: mmpretrain's own tools with cssa_mm in them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.toolbox.running import list_tools, run_tool
from cssa_mm.cli.arguments import command_parser, run
from cssa_mm.errors import ConfigError

EXAMPLE = 'cssa toolbox visualization/browse_dataset configs/cssa_demo.py --not-show --output-dir pictures'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa toolbox`."""
    result = command_parser('toolbox', "Run one of mmpretrain's own tools with cssa_mm in it.", EXAMPLE)
    result.add_argument('--list', action='store_true', help='show what becomes of each tool')
    result.add_argument('tool', nargs='?', help='its path without .py, such as visualization/browse_dataset')
    result.add_argument('arguments', nargs=argparse.REMAINDER, help='of the tool')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa toolbox`; returns the exit status."""
    return run(parser(), _command, arguments)


def _command(options: argparse.Namespace) -> None:
    if options.list:
        text: str | None = list_tools()
    elif options.tool is None:
        raise ConfigError('toolbox: found no tool, expected one such as visualization/browse_dataset, or --list')
    else:
        text = run_tool(options.tool, options.arguments)
    if text:
        print(text)
