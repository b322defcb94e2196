"""`cssa import`: turn labels of any form into a table of your own, with the images beside it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cssa_mm.apis.importing import import_labels
from cssa_mm.cli.arguments import Overrides, command_parser, run
from cssa_mm.datasets.readers.datumaro_adapter import environment

DESCRIPTION = (
    'Read labels of any form that docs/formats.md lists, and write them as labels.csv (image,labels) with classes.txt '
    'and links to the images, or copies of them.'
)
EXAMPLE = 'cssa import export/annotations.xml --out photos'


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
    result.add_argument('--yes', action='store_true', help='go on although something in the labels looks wrong')
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
    result = import_labels(
        source=options.source,
        out=options.out,
        format=options.format,
        labels=options.labels,
        images=options.images,
        is_copied=options.copy,
        replaces=options.force,
        accepts=options.yes,
        datumaro=python,
        options=options.cfg_options,
    )
    print(result.text())
