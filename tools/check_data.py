"""Check images, labels and split of a config: `python tools/check_data.py CONFIG [options]`."""

from __future__ import annotations

import sys

from cssa_mm.apis.checking import check_data
from cssa_mm.cli.arguments import check_parser, main_of

if __name__ == '__main__':
    main_of(lambda: sys.exit(check_data(check_parser(__doc__).parse_args())))
