"""`cssa check`: check images, labels and split of a config before training on them."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from cssa_mm.apis.check_report import Style
from cssa_mm.apis.checking import check
from cssa_mm.apis.config_reference import config_page
from cssa_mm.cli.arguments import add_config, add_tower, add_yes, command_parser, overrides_of, run
from cssa_mm.files import write_json

DESCRIPTION = (
    'Say how the data of a config were understood, open every image, and compare training, validation and test data: a '
    'line for each kind of problem and for each question, and a verdict. Exit status 1: something must be fixed or '
    'answered before training.'
)
EXAMPLE = 'cssa check cssa_table --data-root photos --out report.json'


class Keys(argparse.Action):
    """Print the page of all config keys and stop."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Print, and exit with status 0."""
        print(config_page(), end='')
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa check`."""
    result = command_parser('check', DESCRIPTION, EXAMPLE)
    add_config(result)
    add_tower(result)
    add_yes(result)
    result.add_argument('--out', help='JSON file for all that was found')
    result.add_argument('--keys', action=Keys, nargs=0, help='print every config key: docs/configuration.md')
    result.add_argument('--num-workers', type=int, help='processes that open images; all cores by default')
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa check`; returns the exit status."""
    return run(parser(), _check, arguments)


def _check(options: argparse.Namespace) -> int:
    report = check(
        config=options.config,
        data_root=options.data_root,
        overrides=overrides_of(options),
        tower=options.tower,
        num_workers=options.num_workers,
    )
    print(report.text(_style()))
    if options.out:
        write_json(options.out, report.as_dict(), indent=2)
    return 0 if report.trains else 1


def _style() -> Style:
    """Colours and the width of the terminal, if there is one and NO_COLOR does not forbid them."""
    if not sys.stdout.isatty():
        return Style()
    colour = not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'
    return Style(colour, shutil.get_terminal_size().columns)
