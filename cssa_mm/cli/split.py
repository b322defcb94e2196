"""`cssa split`: draw which training images are labelled, and write the list to a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cssa_mm.apis.splitting import split
from cssa_mm.cli.arguments import add_config, command_parser, overrides_of, run
from cssa_mm.errors import ConfigError

DESCRIPTION = (
    'Draw which training images are labelled, from the annotation files alone, and write the list to a file that can '
    'be published.'
)
EXAMPLE = 'cssa split cssa_demo --labelled 0.1 --seed 2 --out splits/demo.txt'


class Limits(argparse.Action):
    """NAME=COUNT pairs as a dict; a name may hold spaces and `=`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Read the pairs.

        Raises:
            ConfigError: one is no name with a whole number.
        """
        limits = {}
        for value in values or ():
            name, _, count = value.rpartition('=')
            if not name or not count.isdecimal():
                raise ConfigError(
                    f"{option_string}: found '{value}', expected NAME=COUNT such as spade=0, the count a whole number "
                    "from 0; put a name with spaces in quotes: 'traffic light=1'"
                )
            limits[name] = int(count)
        setattr(namespace, self.dest, limits)


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa split`."""
    result = command_parser('split', DESCRIPTION, EXAMPLE)
    add_config(result)
    result.add_argument('--labelled', type=float, required=True, help='share of labelled images, e.g. 0.05')
    result.add_argument('--seed', type=int, default=1, help='seed of the draw (default: %(default)s)')
    result.add_argument('--stratified', action='store_true', help="balance the classes; without, CAP's random rule")
    result.add_argument(
        '--at-most',
        nargs='+',
        action=Limits,
        metavar='NAME=COUNT',
        help='make classes rare: at most so many labelled positives each',
    )
    result.add_argument('--out', help='file to write; splits/CONFIG_labelled0.05_seed1.txt by default')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa split`; returns the exit status."""
    return run(parser(), _split, arguments)


def _split(options: argparse.Namespace) -> None:
    result = split(
        config=options.config,
        labelled=options.labelled,
        seed=options.seed,
        stratified=options.stratified,
        at_most=options.at_most,
        out=options.out,
        data_root=options.data_root,
        overrides=overrides_of(options),
    )
    print(result.text())
