"""Make the embedded demo data: icon scenes with COCO-style annotations.

Example: ``python tools/make_demo_data.py --out data/icons --test-seed 7``
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cssa_mm.demo.scenes import generate_demo
from cssa_mm.errors import CSSAError


def main() -> None:
    """Parse the arguments and make the data."""
    parser = argparse.ArgumentParser(description='Make the embedded demo data (icon scenes).')
    parser.add_argument('--out', default='data/icons', help='folder to create (default: %(default)s)')
    parser.add_argument('--num-train', type=int, default=2000, help='training scenes (default: %(default)s)')
    parser.add_argument('--num-test', type=int, default=600, help='test scenes (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the scenes (default: %(default)s)')
    parser.add_argument('--test-seed', type=int, help='another seed for the test scenes: a fresh test set')
    arguments = parser.parse_args()
    try:
        root = generate_demo(
            arguments.out, arguments.num_train, arguments.num_test, arguments.seed, arguments.test_seed
        )
    except CSSAError as error:
        sys.exit(f'error: {error}')
    print(root)


if __name__ == '__main__':
    main()
