"""Linear probe on the frozen features: `python tools/linear_probe.py CONFIG [options]`."""

from __future__ import annotations

from cssa_mm.apis.probing import linear_probe
from cssa_mm.cli.arguments import main_of, probe_parser

if __name__ == '__main__':
    main_of(lambda: linear_probe(probe_parser(__doc__).parse_args()))
