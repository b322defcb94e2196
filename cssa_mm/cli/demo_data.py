"""`cssa demo-data`: draw the scenes of the embedded demo, with COCO-style annotations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.cli.arguments import command_parser, run
from cssa_mm.demo.scenes import generate_demo

EXAMPLE = 'cssa demo-data --out data/icons-fresh --test-seed 7'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa demo-data`."""
    result = command_parser('demo-data', 'Draw the scenes of the embedded demo, with COCO-style annotations.', EXAMPLE)
    result.add_argument('--out', default='data/icons', help='folder to create (default: %(default)s)')
    result.add_argument('--num-train', type=int, default=2000, help='training scenes (default: %(default)s)')
    result.add_argument('--num-test', type=int, default=600, help='test scenes (default: %(default)s)')
    result.add_argument('--seed', type=int, default=0, help='seed of the scenes (default: %(default)s)')
    result.add_argument('--test-seed', type=int, help='another seed for the test scenes: a fresh test set')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa demo-data`; returns the exit status."""
    return run(parser(), _demo_data, arguments)


def _demo_data(options: argparse.Namespace) -> None:
    print(generate_demo(options.out, options.num_train, options.num_test, options.seed, options.test_seed))
