"""Run a named study over several seeds: a table with standard errors and paired differences, a CSV and a plot."""

from __future__ import annotations

import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')  # read once, by the imports: a worker is one process of several

from cssa_mm.cli.arguments import main_of
from cssa_mm.studies.jobs import parser, study

if __name__ == '__main__':
    # 1: some runs failed, but the others were done.
    main_of(lambda: sys.exit(1 if study(parser(__doc__).parse_args())['failures'] else 0))
