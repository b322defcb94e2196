"""`cssa evaluate`: compare predictions with true labels."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.evaluating import evaluate
from cssa_mm.cli.arguments import command_parser, run

DESCRIPTION = (
    'Compare predictions with true labels: mAP, CF1 and OF1 at the thresholds that the labels were chosen by, and how '
    'well the scores are calibrated. Images and classes are matched by name.'
)
EXAMPLE = 'cssa evaluate predictions photos/test.csv --out metrics.json'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa evaluate`."""
    result = command_parser('evaluate', DESCRIPTION, EXAMPLE)
    result.add_argument(
        'predictions', help='folder that cssa predict wrote, a table of it, or labels in any form that can be read'
    )
    result.add_argument('truth', help='true labels: a file in any form that can be read, or a folder that holds one')
    result.add_argument('--out', metavar='FILE', help='JSON file for the figures')
    result.add_argument(
        '--picture', metavar='FILE.png', help='a reliability diagram; with the raw scores if they were written, too'
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa evaluate`; returns the exit status."""
    return run(parser(), _evaluate, arguments)


def _evaluate(options: argparse.Namespace) -> None:
    print(evaluate(**vars(options)).text())
