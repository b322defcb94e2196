"""`python -m cssa_mm COMMAND ...` is `cssa COMMAND ...`."""

import sys

from cssa_mm.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
