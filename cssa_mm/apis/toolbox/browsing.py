"""`visualization/browse_dataset`: runs as it is, beside newer versions of matplotlib."""

from __future__ import annotations

from cssa_mm.apis.toolbox.scripts import run_script
from cssa_mm.compat import mend_tight_bbox


def run() -> None:
    """Run the tool; what it imports must be mended before."""
    mend_tight_bbox()
    run_script('visualization/browse_dataset')
