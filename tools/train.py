"""Train a model: `python tools/train.py CONFIG [options]`, the arguments of mmpretrain's own train.py."""

from __future__ import annotations

from cssa_mm.apis.command_line import main_of, train_parser
from cssa_mm.apis.run import train

if __name__ == '__main__':
    main_of(lambda: train(train_parser(__doc__).parse_args()))
