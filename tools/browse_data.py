"""Training images in their weak and strong view with their labels: `python tools/browse_data.py CONFIG [options]`."""

from __future__ import annotations

from cssa_mm.apis.browsing import browse_data
from cssa_mm.cli.arguments import browse_parser, main_of

if __name__ == '__main__':
    main_of(lambda: browse_data(browse_parser(__doc__).parse_args()))
