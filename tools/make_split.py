"""Write a split of the training images into labelled and unlabelled: `python tools/make_split.py CONFIG [options]`."""

from __future__ import annotations

from cssa_mm.apis.splitting import write_split
from cssa_mm.cli.arguments import main_of, split_parser

if __name__ == '__main__':
    main_of(lambda: write_split(split_parser(__doc__).parse_args()))
