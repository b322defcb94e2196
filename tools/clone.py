"""What the commands beside this file share: they run the code of this clone, whether it is installed or not."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cssa import main


def run(command: str) -> None:
    """Run `cssa COMMAND` with the arguments of this process, and exit."""
    sys.exit(main([command, *sys.argv[1:]]))
