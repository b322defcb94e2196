"""`cssa benchmark`: how fast this is on this machine, beside published methods and the least that the work takes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.cli.arguments import add_overrides, command_parser, run
from cssa_mm.studies.benchmark.rows import ROWS, SUITES
from cssa_mm.studies.benchmark.run import REPEATS, benchmark

DESCRIPTION = (
    'Measure how fast the parts are on this machine: each row runs our code, a published method and the frozen tower '
    'alone in turn, and checks that ours computes the same. docs/performance.md explains the rows.'
)
EXAMPLE = 'cssa benchmark --rows C1 C5 --out benchmark.json'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa benchmark`."""
    result = command_parser('benchmark', DESCRIPTION, EXAMPLE)
    result.add_argument('--suite', default='cpu', help=f'one of {", ".join(SUITES)}; cpu by default')
    on_request = [row.id for row in ROWS if row.is_on_request]
    result.add_argument(
        '--rows',
        nargs='+',
        metavar='ROW',
        help=f'{", ".join(row.id for row in ROWS)}; by default all of the suite but {", ".join(on_request)}',
    )
    result.add_argument('--repeats', type=int, default=REPEATS, help=f'rounds that count; {REPEATS} by default')
    result.add_argument('--against', metavar='REVISION', help='git revision whose quickstart C11 compares with')
    result.add_argument('--out', metavar='FILE.json', help='JSON file for the figures')
    add_overrides(result)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa benchmark`; returns the exit status."""
    return run(parser(), _benchmark, arguments)


def _benchmark(options: argparse.Namespace) -> None:
    found = benchmark(
        suite=options.suite,
        rows=options.rows,
        repeats=options.repeats,
        overrides=options.cfg_options,
        sizes=dict(against=options.against or ''),
        out=options.out,
    )
    print(found.text())
