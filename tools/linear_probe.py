"""Linear probe on the frozen features: `python tools/linear_probe.py CONFIG [options]`."""

from __future__ import annotations

from cssa_mm.apis.command_line import main_of, probe_parser
from cssa_mm.apis.linear_probe import linear_probe

if __name__ == '__main__':
    main_of(lambda: linear_probe(probe_parser(__doc__).parse_args()))
