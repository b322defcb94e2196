"""Train a model: `python tools/train.py CONFIG [options]`, the arguments of mmpretrain's own train.py."""

from __future__ import annotations

from cssa_mm.apis.training import train
from cssa_mm.cli.arguments import main_of, train_parser

if __name__ == '__main__':
    main_of(lambda: train(train_parser(__doc__).parse_args()))
