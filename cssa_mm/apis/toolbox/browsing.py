"""`visualization/browse_dataset`: runs as it is, beside newer versions of matplotlib."""

from __future__ import annotations

from types import ModuleType

from cssa_mm.compat import mend_tight_bbox


def run(tool: ModuleType) -> None:
    """Run the tool."""
    mend_tight_bbox()
    tool.main()
