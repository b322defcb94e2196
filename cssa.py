"""The console script `cssa`, beside the package: importing the package imports torch, and `cssa --help` needs none."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command: `cssa_mm/cli/main.py`, found without importing the package."""
    package = Path(find_spec('cssa_mm').origin).parent
    return runpy.run_path(str(package / 'cli' / 'main.py'))['main'](arguments)


if __name__ == '__main__':
    raise SystemExit(main())
