"""Run one of mmpretrain's own tools: `python tools/toolbox.py visualization/browse_dataset CONFIG [options]`."""

from __future__ import annotations

import sys

from cssa_mm.cli.arguments import main_of
from cssa_mm.cli.toolbox import run_tool

if __name__ == '__main__':
    main_of(lambda: run_tool(sys.argv[1] if len(sys.argv) > 1 else '', sys.argv[2:]))
