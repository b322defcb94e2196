"""Does the attention point at the object? `python tools/pointing_game.py CONFIG CHECKPOINT [options]`, on VOC boxes.

CHECKPOINT `none` takes the untrained model.
"""

from __future__ import annotations

from cssa_mm.apis.pointing import pointing_game
from cssa_mm.cli.arguments import main_of, pointing_parser

if __name__ == '__main__':
    main_of(lambda: pointing_game(pointing_parser(__doc__).parse_args()))
