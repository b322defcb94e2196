"""Zero-shot, labelled-only and CSSA on the embedded demo; `bash tools/quickstart.sh` sets up the environment first."""

from __future__ import annotations

from cssa_mm.cli.arguments import main_of
from cssa_mm.demo.quickstart import parser, quickstart

if __name__ == '__main__':
    main_of(lambda: quickstart(**vars(parser(__doc__).parse_args())))
