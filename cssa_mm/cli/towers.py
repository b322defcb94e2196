"""`cssa towers`: which image and text towers can be had, and which to take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.towers import convert_tower, towers
from cssa_mm.apis.towers_page import families_table
from cssa_mm.cli.arguments import command_parser, run
from cssa_mm.errors import ConfigError
from cssa_mm.files import write_json

DESCRIPTION = (
    'List the towers that open_clip can download: size, time for an image on this machine, licence, whether they work '
    'here, and which to take on two cores. Nothing is downloaded.'
)
EXAMPLE = 'cssa towers ViT-B-32 --measure'


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa towers`."""
    result = command_parser('towers', DESCRIPTION, EXAMPLE)
    result.add_argument('pattern', nargs='?', help='part of a name, tag, family or licence; all towers by default')
    result.add_argument('--measure', action='store_true', help='measure the smallest ones, with random weights')
    result.add_argument('--out', help='JSON file for the list; with --convert the .safetensors to write')
    result.add_argument('--families', action='store_true', help='print what works and why, by family: docs/towers.md')
    result.add_argument(
        '--convert',
        metavar='FILE.pt',
        help="take the weights out of a TorchScript archive such as OpenAI's; this opens the code in it",
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa towers`; returns the exit status."""
    return run(parser(), _towers, arguments)


def _towers(options: argparse.Namespace) -> None:
    if options.convert:
        if not options.out:
            raise ConfigError('--convert: found no --out, expected the .safetensors file to write; add it')
        print(convert_tower(options.convert, out=options.out))
    elif options.families:
        print(families_table(), end='')
    else:
        found = towers(pattern=options.pattern, measure=options.measure)
        print(found.text())
        if options.out:
            write_json(options.out, found.as_dict())
