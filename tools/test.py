"""Test a model: `python tools/test.py CONFIG CHECKPOINT [options]`, the arguments of mmpretrain's own test.py.

CHECKPOINT `none` tests the model as it starts: zero-shot CLIP where the prompts start from words.
"""

from __future__ import annotations

from cssa_mm.apis.testing import test
from cssa_mm.cli.arguments import main_of, test_parser

if __name__ == '__main__':
    main_of(lambda: test(test_parser(__doc__).parse_args()))
