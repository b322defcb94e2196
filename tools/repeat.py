"""Zero-shot, labelled-only, CSSA and the oracle on the demo over several seeds, with paired differences."""

from __future__ import annotations

from cssa_mm.apis.command_line import main_of
from cssa_mm.apis.repeat import parser, repeat

if __name__ == '__main__':
    main_of(lambda: repeat(parser(__doc__).parse_args()))
