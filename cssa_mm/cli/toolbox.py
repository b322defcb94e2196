"""`cssa toolbox`: mmpretrain's own tools with cssa_mm in them."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import mmpretrain

from cssa_mm.cli.arguments import command_parser, run
from cssa_mm.compat import mend_tight_bbox
from cssa_mm.errors import ConfigError, nearest

TOOLS = Path(mmpretrain.__file__).parent / '.mim' / 'tools'
EXAMPLE = 'cssa toolbox visualization/browse_dataset configs/cssa_demo.py --not-show --output-dir pictures'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa toolbox`."""
    result = command_parser('toolbox', "Run one of mmpretrain's own tools with cssa_mm in it.", EXAMPLE)
    result.add_argument('tool', help='its path without .py, such as visualization/browse_dataset')
    result.add_argument('arguments', nargs=argparse.REMAINDER, help='of the tool')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa toolbox`; returns the exit status."""
    return run(parser(), lambda options: run_tool(options.tool, options.arguments), arguments)


def run_tool(name: str, arguments: Sequence[str]) -> None:
    """Run a tool of mmpretrain's package, such as `visualization/browse_dataset`, as if it were called itself.

    Run this way, they know our components and model names. And most of them import torchvision, which fails beside
    a CPU-only torch unless `cssa_mm.compat` is imported first.

    Raises:
        ConfigError: there is no such tool.
    """
    known = sorted(path.relative_to(TOOLS).with_suffix('').as_posix() for path in TOOLS.rglob('*.py'))
    name = name.removesuffix('.py')
    if name not in known:
        raise ConfigError(
            f"toolbox: found '{name}', expected one of the {len(known)} tools below {TOOLS}, such as "
            f'visualization/browse_dataset.{nearest(name, known)}'
        )
    mend_tight_bbox()
    script = str(TOOLS / f'{name}.py')
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name='__main__')
