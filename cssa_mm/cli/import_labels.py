"""`cssa import`: turn labels of any form into a table of your own, with the images beside it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from cssa_mm.apis.formats_page import formats_page
from cssa_mm.apis.importing import import_labels
from cssa_mm.cli.arguments import add_yes, command_parser, run
from cssa_mm.cli.overrides import Overrides
from cssa_mm.datasets.readers.datumaro_adapter import environment

DESCRIPTION = (
    'Read labels of any form that docs/formats.md lists, and write them as labels.csv (image,labels) with classes.txt '
    'and links to the images, or copies of them.'
)
EXAMPLE = 'cssa import export/annotations.xml --out photos'


class Formats(argparse.Action):
    """Print the page of formats and stop."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Print, and exit with status 0."""
        print(formats_page(), end='')
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Arguments of `cssa import`."""
    result = command_parser('import', DESCRIPTION, EXAMPLE)
    result.add_argument('source', help='label file, or a folder that holds one')
    result.add_argument('--out', required=True, help='folder to write, new or empty')
    result.add_argument('--labels', metavar='FILE', help='the label file below SOURCE; found by default')
    result.add_argument('--format', help='form of the labels, as docs/formats.md names it; found by default')
    result.add_argument('--images', metavar='FOLDER', help='the folder of the images; found by default')
    placing = result.add_mutually_exclusive_group()
    placing.add_argument(
        '--link', action='store_true', help='link the images (the default): hard where the disk can, else symbolic'
    )
    placing.add_argument('--copy', action='store_true', help='copy the images')
    result.add_argument('--force', action='store_true', help='replace the tables and images of an earlier import')
    add_yes(result)
    result.add_argument(
        '--formats', action=Formats, nargs=0, help='print what is read, by which reader: docs/formats.md'
    )
    result.add_argument(
        '--datumaro',
        nargs='?',
        const='',
        metavar='PYTHON',
        help='read by Datumaro what has no reader here, in this Python; without PYTHON, in one of its own, which is '
        'made once, in the cache, with what pip installs there',
    )
    result.add_argument(
        '--cfg-options', nargs='+', action=Overrides, help='keys of TableDataset: label_column=tags none_word=nothing'
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cssa import`; returns the exit status."""
    return run(parser(), _import, arguments)


def _import(options: argparse.Namespace) -> None:
    python = options.datumaro
    if python == '':
        python = environment(lambda line: print(line, flush=True))
    keys = dict(options.cfg_options or {})
    result = import_labels(
        source=options.source,
        out=options.out,
        format=options.format,
        labels=options.labels,
        images=options.images,
        is_copied=options.copy,
        replaces=options.force,
        accept='all' if options.yes else keys.pop('accept', None),
        datumaro=python,
        options=keys,
    )
    print(result.text())
